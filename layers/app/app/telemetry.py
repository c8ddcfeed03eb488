"""Logs (JSON) and metrics (CloudWatch's embedded format), and what goes into them.

A log is paid for by the byte. So a line says what its log group, its function and CloudWatch do not know already, and
what a batch says when all is well goes into the line that its metrics are printed in. A command prints one line;
CloudWatch counts commits in it (`CommitsAppended` in template.yaml).

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

logger = Logger(location=None)
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
        logger.clear_state()
        logger.append_keys(function_request_id=context.aws_request_id)
        try:
            return handler(event, context)
        except EventfoldError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it gets another name
            log_failure("invocation failed", error)
            raise InvocationFailedError(type(error).__name__) from None

    decorated: Callable[[dict[str, Any], Any], R] = metrics.log_metrics(guarded, capture_cold_start_metric=True)
    return decorated


@contextmanager
def counted(command: str) -> Iterator[Callable[[Outcome], Outcome]]:
    """Count what a command did, lost races included, and log it."""

    def count(outcome: Outcome) -> Outcome:
        _count("Conflicts", outcome.conflicts)
        keys = {"command": command, "version": outcome.version, "events": outcome.appended}
        logger.info("command handled", extra=keys | ({"repeated": True} if outcome.repeated else {}))
        return outcome

    try:
        yield count
    except TooManyConflictsError as lost:
        _count("Conflicts", lost.attempts)
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
        _count("DuplicatesDropped", result.duplicates)
        _count("GapsHealed", result.healed)
    for stream, failure in result.parked.items():
        log_failure("parked", failure, projection=fed.name, stream=stream)
    for stream in result.released:
        logger.info("released", extra={"projection": fed.name, "stream": stream})
    for failure in set(result.failed.values()):  # One failure may be that of many streams.
        log_failure("projection failed", failure, projection=fed.name)
    _count("Parked", len(result.parked))


def _count(name: str, number: int) -> None:
    """Count what seldom is: a metric without values costs nothing, and shows as none."""
    if number:
        metrics.add_metric(name, MetricUnit.Count, number)


def _log(message: str, **keys: object) -> None:
    """Let the line of this invocation's metrics say something too, with the ids that it is found by."""
    logged = logger.get_current_keys()
    ids = {name: logged[name] for name in ("correlation_id", "function_request_id") if logged.get(name)}
    for key, value in {"message": message, **ids, **keys}.items():
        metrics.add_metadata(key, value)


def _log_commits(fed: Fed) -> None:
    """Log the commits of a batch by read model: stream, version, and the correlation id of the request."""
    now = datetime.now(UTC)
    done: list[tuple[str, int, str]] = []
    waiting: list[tuple[str, int, str]] = []
    lags: list[float] = []
    for commit in fed.commits:
        waits = commit.stream in fed.result.parked or commit.stream in fed.result.failed
        named = (commit.stream, commit.last_version, commit.meta.get("correlation_id", ""))
        (waiting if waits else done).append(named)
        if not waits:
            lags.append((now - commit.at) / timedelta(milliseconds=1))
    if done:
        _log("projected", commits={**metrics.metadata_set.get("commits", {}), fed.name: done})
    for lag in lags:  # After the log: a metric's hundredth value prints the line.
        metrics.add_metric("ProjectionLag", MetricUnit.Milliseconds, round(lag))
    if waiting:
        logger.warning("not projected", extra={"projection": fed.name, "commits": waiting})


def log_failure(message: str, error: BaseException, **keys: object) -> None:
    """Log an error by type and place. Its message may quote what a caller sent, so it stays out."""
    if isinstance(error, UnreadableStreamError):  # Says where and why without quoting what is stored.
        keys = {"stream": error.stream, "unreadable_version": error.version, "reason": error.reason, **keys}
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    logger.error(message, extra={"error": type(error).__name__, "at": places, **keys})
