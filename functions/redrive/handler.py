"""Parked streams, and batches that Lambda gave up on, to read models: replays them from the event table."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from app import main
from app.telemetry import invocation, log_fed, log_unreadable_batch, logger, metrics
from eventfold.read_models.given_up import recover

LEFT_MILLISECONDS = 60_000
"""What is left of an invocation when it begins nothing more: the next one goes on."""


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Redrive all that was given up and all that is parked; or what is parked of `projection` or `stream`, if named."""

    def stop() -> bool:
        return context.get_remaining_time_in_millis() < LEFT_MILLISECONDS

    try:
        if not event:
            recover_batches(stop)  # First: what can't go on is parked by it.
    finally:  # Neither waits for the other to be within reach.
        done = redrive(event, stop)
    return done


def recover_batches(stop: Callable[[], bool]) -> None:
    """Bring the streams up to date whose batches lie in the bucket."""
    if store := main.application.given_up:
        found = recover(store, main.application.feed, report=log_fed, unreadable=log_unreadable_batch, stop=stop)
        if found.done:
            logger.info("batches recovered", extra={"batches": found.done})
        metrics.add_metric("GivenUpBatches", MetricUnit.Count, found.left)


def redrive(event: dict[str, Any], stop: Callable[[], bool]) -> dict[str, int]:
    """Redrive what is parked; return how many streams go on, and how many stay parked."""
    feed = main.application.feed
    try:
        done = feed.redrive(event.get("projection"), event.get("stream"), report=log_fed, stop=stop)
    finally:  # The alarm is told even where a redrive fails as a whole.
        metrics.add_metric("ParkedStreams", MetricUnit.Count, sum(1 for _ in feed.waiting()))
    return {"redriven": done.redriven, "parked": done.parked}
