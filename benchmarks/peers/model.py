"""The event, the state and the fold of the stores that are made by hand."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from decimal import Decimal  # noqa: TC003 - as above

from pydantic import BaseModel

from benchmarks.payload import changed, nested


class Flat(BaseModel):
    """The fields."""

    name: str
    email: str
    note: str
    n: int


class Address(BaseModel):
    """A part of a nested event."""

    street: str
    city: str
    code: str


class Line(BaseModel):
    """One of many."""

    article: str
    price: Decimal
    count: int


class Nested(Flat):
    """The fields, and models within them."""

    at: datetime
    total: Decimal
    tags: list[str]
    agreed: bool
    address: Address
    lines: list[Line]


Fields: type[Flat] = Nested if nested else Flat


class Changed(Fields):  # type: ignore[misc,valid-type] # one of the two, for a whole process
    """The event."""


class State(BaseModel):
    """The state; `version` is that of the last event in it."""

    name: str = ""
    total: int = 0
    version: int = 0


def new(version: int) -> Changed:
    """Return the event of a version."""
    return Changed(**changed(version))


def evolve(state: State, event: Changed) -> State:
    """Fold one event in."""
    return State(name=event.name, total=state.total + event.n, version=state.version + 1)
