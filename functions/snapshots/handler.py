"""Stream to snapshots: takes one when a commit has crossed a snapshot boundary."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from app import main
from app.telemetry import invocation, log_failure, logger
from eventfold import take_snapshot
from eventfold.core.commit import category_of
from eventfold.dynamodb.streams import read_record

processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)


def snapshot(record: DynamoDBRecord) -> None:
    """Snapshot the stream that a due commit belongs to, as far as it is now."""
    try:
        commit = read_record(record.raw_event)
        if commit is None or not commit.snapshot_due:
            return
        app = main.application
        decider = app.deciders[category_of(commit.stream)]
        taken = take_snapshot(app.event_store, decider, commit.stream, commit.last_version)
    except Exception as error:
        log_failure("snapshot failed", error, item=record.raw_event["dynamodb"].get("Keys"))
        raise
    if taken:
        keys = {"stream": taken.stream, "version": taken.version}
        logger.info("snapshot taken", extra=keys | {"correlation_id": commit.meta.get("correlation_id")})


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Work on one batch of a DynamoDB stream; what fails is reported."""
    return process_partial_response(event=event, record_handler=snapshot, processor=processor, context=context)
