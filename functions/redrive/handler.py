"""Parked streams to read models: replays them from the event table. On a schedule, and whenever it is invoked."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from app.redrive import Redriven, parked_streams, redrive
from app.telemetry import invocation, metrics


@invocation
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Redrive all that is parked, or `projection`, or `stream`, where the event names them."""
    try:
        done: Redriven = redrive(event.get("projection"), event.get("stream"))
    finally:  # The alarm is told even where a redrive fails as a whole.
        metrics.add_metric("ParkedStreams", MetricUnit.Count, len(parked_streams()))
    return {"redriven": done.redriven, "parked": done.parked}
