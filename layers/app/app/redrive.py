"""Redrive: replays parked streams from the event table and releases those that go through."""

from __future__ import annotations

from dataclasses import dataclass

from app.telemetry import log_parked
from app.wiring import parked_store, runner, targets


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many streams go on again, and how many stay parked."""

    redriven: int
    parked: int


def redrive(projection: str | None = None, stream: str | None = None) -> Redriven:
    """Redrive what is parked: all, or that of one projection, or one stream."""
    redriven = parked = 0
    for target in targets():
        if projection in (None, target.name):
            streams = [one.stream for one in parked_store().listed(target.name) if stream in (None, one.stream)]
            result = runner().redrive(target, streams)
            log_parked(target.name, result)
            redriven += len(result.released)
            parked += len(result.parked)
    return Redriven(redriven, parked)
