"""Stream to read models: brings every one of them up to date with a batch of commits."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from app import main
from app.telemetry import invocation, log_fed, log_unreadable
from eventfold.dynamodb.streams import PartialBatchResponse, read_batch


@invocation
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> PartialBatchResponse:
    """Project one batch of a DynamoDB stream. What can't be projected is parked, and the rest flows on.

    A record comes again if its stream could not even be parked, or its read model has been out of reach for a moment.
    """
    batch = read_batch(event["Records"])
    log_unreadable(batch)
    failed = main.application.feed.project(batch.commits, batch.unreadable, report=log_fed)
    if failed and failed.keys() >= batch.numbers.keys():
        raise next(iter(failed.values()))  # The same to Lambda as all of it reported, and its metrics tell of it.
    return batch.response(failed)
