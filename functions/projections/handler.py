"""Stream to read models: brings every one of them up to date with a batch of commits."""

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from app.telemetry import invocation, log_failure, log_parked, log_projected, logger
from app.wiring import generations, runner, targets
from eventfold.dynamodb.streams import PartialBatchResponse, StreamBatch, read_batch
from eventfold.read_models.generations import LiveTarget, lowest
from eventfold.read_models.projector import Limits
from eventfold.read_models.target import AnyTarget


@invocation
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> PartialBatchResponse:
    """Project one batch of a DynamoDB stream. What can't be projected is parked, and the rest flows on.

    A read model out of reach fails the batch, so that it comes again, but not before the others had theirs.
    """
    batch = read_batch(event["Records"])
    for number, error in batch.nameless.items():
        log_failure("unreadable record", error, sequence_number=number)
    for stream in batch.unreadable:
        logger.warning("unreadable record", extra={"stream": stream})
    failures = [failure for read_model in generations().live(targets()) for failure in feed(read_model, batch)]
    if failures:
        raise failures[0]
    return batch.response()


def feed(read_model: Sequence[LiveTarget], batch: StreamBatch) -> list[Exception]:
    """Bring a read model's generations up to date, the active one last; return what failed as a whole.

    Where one that can be promoted failed, the active one waits for the batch to come again: a promotion would
    otherwise show what is older.
    """
    failures: list[Exception] = []
    limits: dict[str, int] = {}
    waits = False
    for target, active, promotable in read_model:
        if active and waits:
            continue
        try:
            reached = project(target, batch, limits, measured=True) if active else project(target, batch)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is this target's alone
            log_failure("projection failed", failure, projection=target.name)
            failures.append(failure)
            waits |= promotable
        else:
            if promotable:
                limits = lowest(limits, reached)
    return failures


def project(target: AnyTarget, batch: StreamBatch, upto: Limits | None = None, *, measured: bool = False) -> Limits:
    """Bring one generation of a read model up to date with a batch; return the versions that its streams are at.

    The active one's lag is measured, and it goes no further than the others have.
    """
    commits = [commit for commit in batch.commits if target.follows(commit.stream)]
    result = runner().run(target, commits, upto=upto)
    if measured:
        log_projected(target.name, commits, result)
    else:
        log_parked(target.name, result)
    # The record is only a wake-up: what it should have said, the event table says.
    unreadable = [stream for stream in batch.unreadable if target.follows(stream)]
    redriven = runner().redrive(target, unreadable, upto=upto)
    log_parked(target.name, redriven)
    for failure in (result.failed | redriven.failed).values():
        raise failure
    return result.reached | redriven.reached
