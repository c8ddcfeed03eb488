"""A tiny aggregate for tests of the library itself: a counter that one can add to, up to a limit."""

from __future__ import annotations

from pydantic import BaseModel

from eventfold import Command, Decider, Event, Recorded
from eventfold.read_models.projections import Projection


class Add(Command):
    amount: int
    times: int = 1


class Added(Event, name="Added", version=1):
    amount: int


class Closed(Event, name="Closed", version=1):
    pass


class Counter(BaseModel, frozen=True):
    total: int = 0


class TooMuchError(Exception):
    pass


def decide(command: Add, state: Counter) -> list[Added | Closed]:
    if state.total + command.amount > 1_000_000:
        raise TooMuchError
    return [Added(amount=command.amount)] * command.times if command.amount else []


def evolve(state: Counter, event: Added | Closed) -> Counter:
    return Counter(total=state.total + event.amount) if isinstance(event, Added) else state


COUNTER: Decider[Add, Counter, Added | Closed] = Decider("counter", Counter(), decide, evolve, (Added, Closed))


class Total(BaseModel, frozen=True):
    total: int


def project(row: Total | None, recorded: Recorded[Added | Closed]) -> Total | None:
    if isinstance(recorded.event, Closed):
        return None
    return Total(total=(row.total if row else 0) + recorded.event.amount)


TOTALS: Projection[Total, Added | Closed] = Projection(
    "totals", "counter", COUNTER.codec, Total, project, sort_key=lambda stream, row: f"{row.total:09}\0{stream}"
)
