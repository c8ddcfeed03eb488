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
    from collections.abc import Callable, Iterator, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from eventfold import Commit, Outcome
    from eventfold.read_models.projector import BatchResult

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
        logger.inject_lambda_context(clear_state=True)(guarded)
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


def log_projected(projection: str, commits: Sequence[Commit], result: BatchResult) -> None:
    """Log each commit of a batch under the correlation id of the request that made it; measure the lag.

    A commit of a parked stream is logged as waiting, and not measured.
    """
    now = datetime.now(UTC)
    for commit in commits:
        keys = {"projection": projection, "stream": commit.stream, "version": commit.last_version}
        keys["correlation_id"] = commit.meta.get("correlation_id", "")
        if commit.stream not in result.parked:
            lag = (now - commit.at) / timedelta(milliseconds=1)
            metrics.add_metric("ProjectionLag", MetricUnit.Milliseconds, lag)
            logger.info("projected", extra=keys)
        else:
            logger.warning("not projected", extra=keys)
    log_parked(projection, result)
    metrics.add_metric("DuplicatesDropped", MetricUnit.Count, result.duplicates)
    metrics.add_metric("GapsHealed", MetricUnit.Count, result.healed)


def log_parked(projection: str, result: BatchResult) -> None:
    """Log and count what was parked and what goes on again."""
    for stream, failure in result.parked.items():
        log_failure("parked", failure, projection=projection, stream=stream)
    for stream in result.released:
        logger.info("released", extra={"projection": projection, "stream": stream})
    metrics.add_metric("Parked", MetricUnit.Count, len(result.parked))


def log_failure(message: str, error: BaseException, **keys: object) -> None:
    """Log an error by type and place. Its message may quote what a caller sent, so it stays out."""
    if isinstance(error, UnreadableStreamError):  # Says where and why without quoting what is stored.
        keys = {"stream": error.stream, "unreadable_version": error.version, "reason": error.reason, **keys}
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    logger.error(message, extra={"error": type(error).__name__, "at": places, **keys})
