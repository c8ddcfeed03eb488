"""Parked streams to read models: replays them from the event table. On a schedule, and whenever it is invoked."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from app.telemetry import invocation, log_fed, metrics
from app.wiring import feed

LEFT_MILLISECONDS = 60_000
"""What is left of an invocation when it begins nothing more: the next one goes on."""


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Redrive all that is parked, or `projection`, or `stream`, where the event names them."""

    def stop() -> bool:
        return context.get_remaining_time_in_millis() < LEFT_MILLISECONDS

    try:
        done = feed().redrive(event.get("projection"), event.get("stream"), report=log_fed, stop=stop)
    finally:  # The alarm is told even where a redrive fails as a whole.
        metrics.add_metric("ParkedStreams", MetricUnit.Count, sum(1 for _ in feed().waiting()))
    return {"redriven": done.redriven, "parked": done.parked}
