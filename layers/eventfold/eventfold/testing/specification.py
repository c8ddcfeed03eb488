"""Given these events, when this command comes, then those events happen: no store, no clock, no AWS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from eventfold.aggregates.transactions import Read
from eventfold.core.commit import Commit
from eventfold.core.decider import Command, Decider
from eventfold.core.events import Codec, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold.aggregates.transactions import Decision, Writes
    from eventfold.core.events import Recorded
    from eventfold.read_models.projections import Projection

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first event of a specification happens; each later one comes a second after."""


@dataclass(frozen=True)
class Given[C: Command, S: BaseModel, E: Event]:
    """An aggregate with a past."""

    decider: Decider[C, S, E]
    past: tuple[E, ...]

    @property
    def state(self) -> S:
        """The state that the past folds into."""
        return self.decider.fold(self.decider.initial, self.past)

    def when(self, command: C) -> When[C, S, E]:
        """Decide a command."""
        try:
            return When(self, tuple(self.decider.decide(command, self.state)), None)
        except Exception as refusal:  # noqa: BLE001 - the domain chooses what it raises
            return When(self, (), refusal)


@dataclass(frozen=True)
class When[C: Command, S: BaseModel, E: Event]:
    """A decision."""

    given: Given[C, S, E]
    events: tuple[E, ...]
    refusal: Exception | None

    def then(self, *expected: E) -> Given[C, S, E]:
        """Expect exactly these events, none if none are named; goes on with them as part of the past.

        Each event must survive its stored form, as it would have to in the table. The past has it as it is then read.
        """
        if self.refusal is not None:
            raise AssertionError(f"expected {expected}, but it was refused") from self.refusal
        assert self.events == expected, f"expected {expected}, but {self.events} happened"
        return Given(self.given.decider, (*self.given.past, *self.given.decider.codec.encode_all(self.events).events))

    def then_refused(self, error: type[Exception]) -> Exception:
        """Expect the command to be refused with this error, and return it."""
        return _refused(error, self.refusal, self.events)


def _refused(error: type[Exception], refusal: Exception | None, happened: object) -> Exception:
    assert isinstance(refusal, error), f"expected {error.__name__}, but got {refusal or happened!r}"
    return refusal


def given[C: Command, S: BaseModel, E: Event](decider: Decider[C, S, E], *past: E) -> Given[C, S, E]:
    """Start from an aggregate's past; without events, from nothing."""
    return Given(decider, past)


class Past(NamedTuple):
    """Events of one aggregate among several: those before a decision, or those that it writes."""

    decider: Decider[Any, Any, Any]
    id_: str
    events: tuple[Event, ...]


def past[C: Command, S: BaseModel, E: Event](decider: Decider[C, S, E], id_: str, *events: E) -> Past:
    """Return an aggregate's events."""
    return Past(decider, id_, events)


class GivenStreams:
    """Several aggregates with a past each, for decisions that read more than one; any other has none."""

    def __init__(self, *pasts: Past) -> None:
        self._pasts = {one.decider.stream(one.id_): one for one in pasts}

    def read[C: Command, S: BaseModel, E: Event](self, decider: Decider[C, S, E], id_: str) -> Read[S, E]:
        """See `Streams.read`."""
        stream = decider.stream(id_)
        events: Any = self._pasts[stream].events if stream in self._pasts else ()
        return Read(decider, stream, decider.fold(decider.initial, events), len(events))

    def when[C: Command](self, decide: Decision[C], command: C) -> WhenStreams:
        """Decide a command."""
        try:
            return WhenStreams(tuple(decide(command, self)), None)
        except Exception as refusal:  # noqa: BLE001 - the domain chooses what it raises
            return WhenStreams((), refusal)


@dataclass(frozen=True)
class WhenStreams:
    """A decision over several streams."""

    writes: tuple[Writes, ...]
    refusal: Exception | None

    def then(self, *expected: Past) -> None:
        """Expect exactly these events in these streams; each must survive its stored form."""
        if self.refusal is not None:
            raise AssertionError(f"expected {expected}, but it was refused") from self.refusal
        found = {stream: events for stream, _, events in self.writes if events}
        wanted = {one.decider.stream(one.id_): one.events for one in expected}
        assert found == wanted, f"expected {wanted}, but {found} happened"
        for _, decider, events in self.writes:
            decider.codec.encode_all(events)

    def then_refused(self, error: type[Exception]) -> Exception:
        """Expect the command to be refused with this error, and return it."""
        return _refused(error, self.refusal, self.writes)


def recorded[E: Event](events: Sequence[E], stream: str) -> list[Recorded[E]]:
    """Return events as a store would have recorded them, one a commit, one second apart."""
    codec: Codec[E] = Codec(*dict.fromkeys(map(type, events)))
    return [
        one
        for version, event in enumerate(events, start=1)
        for one in codec.recorded(
            Commit(stream, version, (codec.encode(event),), f"commit-{version}", START + timedelta(seconds=version))
        )
    ]


def rows_after[R: BaseModel, E: Event](projection: Projection[R, E], *events: E, id_: str = "1") -> list[R | None]:
    """Return the row after each of these events; None where there is none."""
    rows: list[R | None] = []
    row: R | None = None
    for one in recorded(events, f"{projection.category}-{id_}"):
        row = projection.project(row, one)
        rows.append(row)
    return rows
