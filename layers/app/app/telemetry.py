"""Logs (JSON) and metrics (CloudWatch's embedded format), and what goes into them.

No name, email or body goes into a log line: streams, versions, ids and error types alone.
"""

from __future__ import annotations

import traceback
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from eventfold.core.errors import EventfoldError, TooManyConflictsError, UnreadableStreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from eventfold import Outcome
    from eventfold.dynamodb.streams import StreamBatch
    from eventfold.read_models.feed import Fed
    from eventfold.read_models.given_up import GivenUp

logger = Logger()
metrics = Metrics()
# A request that is refused counts nothing, and that is as it should be.
warnings.filterwarnings("ignore", message="No application metrics to publish")


class InvocationFailedError(Exception):
    """An invocation ended in an error whose own words may quote data. The log says of which type and where."""


def invocation[R](handler: Callable[[dict[str, Any], LambdaContext], R]) -> Callable[[dict[str, Any], Any], R]:
    """Make a function a Lambda handler: its log lines say which invocation they belong to, its metrics are published.

    What it raises, Lambda writes into the log, and Step Functions into its history. The library's errors quote nothing
    that is stored; any other is raised as `InvocationFailedError`.
    """

    @wraps(handler)
    def guarded(event: dict[str, Any], context: LambdaContext) -> R:
        try:
            return handler(event, context)
        except EventfoldError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it gets another name
            log_failure("invocation failed", error)
            raise InvocationFailedError(type(error).__name__) from None

    decorated: Callable[[dict[str, Any], Any], R] = metrics.log_metrics(
        logger.inject_lambda_context(clear_state=True)(guarded), capture_cold_start_metric=True
    )
    return decorated


@contextmanager
def counted(command: str) -> Iterator[Callable[[Outcome], Outcome]]:
    """Count what a command did, lost races included, and log it."""

    def count(outcome: Outcome) -> Outcome:
        metrics.add_metric("CommitsAppended", MetricUnit.Count, int(outcome.appended > 0))
        metrics.add_metric("Conflicts", MetricUnit.Count, outcome.conflicts)
        keys = {"version": outcome.version, "events": outcome.appended, "repeated": outcome.repeated}
        logger.info("command handled", extra={"command": command, **keys})
        return outcome

    try:
        yield count
    except TooManyConflictsError as lost:
        metrics.add_metric("Conflicts", MetricUnit.Count, lost.attempts)
        raise


def log_unreadable(batch: StreamBatch) -> None:
    """Log the records of a batch that make no sense."""
    for number, error in batch.nameless.items():
        log_failure("unreadable record", error, sequence_number=number)
    for stream in batch.unreadable:
        logger.warning("unreadable record", extra={"stream": stream})


def log_unreadable_batch(batch: GivenUp) -> None:
    """Log a batch in the failures bucket that makes no sense."""
    logger.error("unreadable batch", extra={"batch": batch.name, "reason": batch.unreadable})


def log_fed(fed: Fed) -> None:
    """Log and count what became of a generation: what was parked, what goes on again, and what comes again.

    Of the active one the commits are logged too, each with the correlation id of the request that made it, and their
    lag is measured. A commit of a stream that waits is logged as waiting, and not measured.
    """
    result = fed.result
    if fed.active and fed.commits:
        _log_commits(fed)
        metrics.add_metric("DuplicatesDropped", MetricUnit.Count, result.duplicates)
        metrics.add_metric("GapsHealed", MetricUnit.Count, result.healed)
    for stream, failure in result.parked.items():
        log_failure("parked", failure, projection=fed.name, stream=stream)
    for stream in result.released:
        logger.info("released", extra={"projection": fed.name, "stream": stream})
    for failure in set(result.failed.values()):  # One failure may be that of many streams.
        log_failure("projection failed", failure, projection=fed.name)
    metrics.add_metric("Parked", MetricUnit.Count, len(result.parked))


def _log_commits(fed: Fed) -> None:
    """Log a batch in one line: log lines are paid for by the byte, and a line's own keys are most of a short one."""
    now = datetime.now(UTC)
    done: list[dict[str, object]] = []
    waiting: list[dict[str, object]] = []
    for commit in fed.commits:
        waits = commit.stream in fed.result.parked or commit.stream in fed.result.failed
        keys = {"stream": commit.stream, "version": commit.last_version}
        (waiting if waits else done).append(keys | {"correlation_id": commit.meta.get("correlation_id", "")})
        if not waits:
            lag = (now - commit.at) / timedelta(milliseconds=1)
            metrics.add_metric("ProjectionLag", MetricUnit.Milliseconds, lag)
    if done:
        logger.info("projected", extra={"projection": fed.name, "commits": done})
    if waiting:
        logger.warning("not projected", extra={"projection": fed.name, "commits": waiting})


def log_failure(message: str, error: BaseException, **keys: object) -> None:
    """Log an error by type and place. Its message may quote what a caller sent, so it stays out."""
    if isinstance(error, UnreadableStreamError):  # Says where and why without quoting what is stored.
        keys = {"stream": error.stream, "unreadable_version": error.version, "reason": error.reason, **keys}
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    logger.error(message, extra={"error": type(error).__name__, "at": places, **keys})
