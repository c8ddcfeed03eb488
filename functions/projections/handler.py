"""Stream to read models: brings every projection up to date with a batch of commits."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from app.telemetry import log_failure, log_projected, logger, metrics
from app.wiring import PROJECTIONS, projections
from eventfold.streams import PartialBatchResponse, read_batch


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> PartialBatchResponse:
    """Project one batch of a DynamoDB stream; what fails is reported, the rest is done."""
    batch = read_batch(event["Records"])
    for number, error in batch.unreadable.items():
        log_failure("unreadable record", error, sequence_number=number)
    failed: set[str] = set()
    for projection in PROJECTIONS:
        commits = [commit for commit in batch.commits.values() if projection.follows(commit.stream)]
        result = projections().run(projection, commits)
        log_projected(projection.name, commits, result)
        failed |= result.failures.keys()
    return batch.response(failed)
