"""Redrive: replays parked streams from the event table and releases those that go through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.telemetry import log_parked
from app.wiring import parked_store, runner, targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventfold.runner import BatchResult


class UnknownProjectionError(LookupError):
    """There is no projection of this name; the message names those that there are."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many streams go on again, and how many stay parked."""

    redriven: int
    parked: int


def check_projection(name: str | None) -> None:
    """Refuse a name that no projection has: a slip of the pen must not look like "nothing is parked".

    Raises:
        UnknownProjectionError: no projection has it.
    """
    names = sorted(target.name for target in targets())
    if name is not None and name not in names:
        raise UnknownProjectionError(f"There is no projection {name!r}; there are: {', '.join(names)}.")


def redrive(
    projection: str | None = None,
    stream: str | None = None,
    *,
    report: Callable[[str, BatchResult], None] = log_parked,
) -> Redriven:
    """Redrive what is parked: all, or that of one projection, or one stream. `report` is told of each projection.

    Raises:
        UnknownProjectionError: no projection has this name.
    """
    check_projection(projection)
    redriven = parked = 0
    for target in targets():
        if projection in (None, target.name):
            streams = [one.stream for one in parked_store().listed(target.name) if stream in (None, one.stream)]
            result = runner().redrive(target, streams)
            report(target.name, result)
            redriven += len(result.released)
            parked += len(result.parked)
    return Redriven(redriven, parked)
