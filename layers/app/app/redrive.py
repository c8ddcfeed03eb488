"""Redrive: replays parked streams from the event table and releases those that go through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.telemetry import log_parked
from app.wiring import generations, parked_store, runner, targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventfold import Parked, Target
    from eventfold.runner import BatchResult

FORGET_AFTER = timedelta(hours=1)
"""How long what is parked under an unknown name is kept: a deploy may just be bringing that projection."""


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
    if name is not None and name.partition(".")[0] not in names:
        raise UnknownProjectionError(f"There is no projection {name!r}; there are: {', '.join(names)}.")


def parked_streams(projection: str | None = None) -> list[Parked]:
    """Return what is parked: in all generations, or in those of one projection.

    What nobody feeds is left out, unless it is a projection that the code no longer has and that is asked for by name.
    """
    if projection is not None and projection.partition(".")[0] not in {target.name for target in targets()}:
        return list(parked_store().listed(projection))
    found = list(parked_store().listed())  # Before the generations are read: whatever is parked by now, they name.
    names = {target.name for target in _live(projection)}
    return [one for one in found if one.projection in names]


def redrive(
    projection: str | None = None,
    stream: str | None = None,
    *,
    report: Callable[[str, BatchResult], None] = log_parked,
) -> Redriven:
    """Redrive what is parked: all, or that of one projection, or one stream. `report` is told of each generation.

    What was parked under a generation or a projection that is gone is forgotten.

    Raises:
        UnknownProjectionError: no projection has this name.
    """
    check_projection(projection)
    waiting = list(parked_store().listed())
    live = _live(projection)
    redriven = parked = 0
    for target in live:
        streams = [one.stream for one in waiting if one.projection == target.name and stream in (None, one.stream)]
        result = runner().redrive(target, streams)
        report(target.name, result)
        redriven += len(result.released)
        parked += len(result.parked)
    if projection is stream is None:
        _forget(waiting, {target.name for target in live})
    return Redriven(redriven, parked)


def _live(projection: str | None) -> list[Target[Any, Any]]:
    """Return every generation that is fed, of one projection or stored name, or of all; read, not remembered."""
    found = [one.target for read_model in generations().live(targets(), max_age=0) for one in read_model]
    return [one for one in found if projection in (None, one.name, one.name.partition(".")[0])]


def _forget(waiting: list[Parked], live: set[str]) -> None:
    known = {target.name for target in targets()}
    long_ago = datetime.now(UTC) - FORGET_AFTER
    for one in waiting:
        gone = one.projection.partition(".")[0] in known or one.since < long_ago
        if one.projection not in live and gone:
            parked_store().release(one.projection, one.stream)
