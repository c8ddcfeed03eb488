"""Redrive: replays parked streams from the event table and releases those that go through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.telemetry import log_parked
from app.wiring import generations, parked_store, runner, targets
from eventfold.core.errors import EventfoldError
from eventfold.read_models.generations import LiveTarget, lowest
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventfold.read_models.parking import Parked
    from eventfold.read_models.projector import BatchResult
    from eventfold.read_models.target import AnyTarget

FORGET_AFTER = timedelta(hours=1)
"""How long what is parked under an unknown name is kept: a deploy may just be bringing that projection."""


class UnknownProjectionError(EventfoldError):
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
    if name is not None and GenerationName.parse(name).read_model not in names:
        raise UnknownProjectionError(f"There is no projection {name!r}; there are: {', '.join(names)}.")


def parked_streams(projection: str | None = None) -> list[Parked]:
    """Return what is parked: in all generations, or in those of one projection.

    What nobody feeds is left out, unless it is a projection that the code no longer has and that is asked for by name.
    """
    known = {target.name for target in targets()}
    if projection is not None and GenerationName.parse(projection).read_model not in known:
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
    live = generations().live(targets(), max_age=0)
    done = Redriven(0, 0)
    for read_model in live:
        streams = {
            one.target.name: [
                found.stream
                for found in waiting
                if found.projection == one.target.name and stream in (None, found.stream)
            ]
            for one in read_model
            if projection in (None, one.target.name, one.target.generation.read_model)
        }
        done = _sum(done, _redrive(read_model, streams, report))
    if projection is stream is None:
        _forget(waiting, {one.target.name for read_model in live for one in read_model})
    return done


def _redrive(
    read_model: Sequence[LiveTarget], streams: Mapping[str, Sequence[str]], report: Callable[[str, BatchResult], None]
) -> Redriven:
    """Redrive a read model's generations. What the active one goes on with, the others see first, as in a batch."""
    done = Redriven(0, 0)
    limits: dict[str, int] = {}
    for target, active, promotable in read_model:
        waiting = streams.get(target.name, [])
        result = runner().redrive(target, waiting, upto=limits if active else None)
        report(target.name, result)
        for failure in result.failed.values():
            raise failure
        done = _sum(done, Redriven(len(result.released), len(result.parked)))
        if promotable:
            ahead = [one for others in streams.values() for one in others if one not in waiting]
            followed = runner().redrive(target, ahead)
            limits = lowest(limits, result.reached | followed.reached)
    return done


def _sum(one: Redriven, other: Redriven) -> Redriven:
    return Redriven(one.redriven + other.redriven, one.parked + other.parked)


def _live(projection: str | None) -> list[AnyTarget]:
    """Return every generation that is fed, of one projection or stored name, or of all; read, not remembered."""
    found = [one.target for read_model in generations().live(targets(), max_age=0) for one in read_model]
    return [one for one in found if projection in (None, one.name, one.generation.read_model)]


def _forget(waiting: list[Parked], live: set[str]) -> None:
    known = {target.name for target in targets()}
    long_ago = datetime.now(UTC) - FORGET_AFTER
    for one in waiting:
        gone = GenerationName.parse(one.projection).read_model in known or one.since < long_ago
        if one.projection not in live and gone:
            parked_store().release(one)
