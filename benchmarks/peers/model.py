"""The event, the state and the fold of the stores that are made by hand."""

from __future__ import annotations

from pydantic import BaseModel

from benchmarks.payload import changed


class Changed(BaseModel):
    """The event."""

    name: str
    email: str
    note: str
    n: int


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
