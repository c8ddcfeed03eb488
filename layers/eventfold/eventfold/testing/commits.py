"""Commits that need no domain, and what may be wrong with one: for the contract of an event store."""

from __future__ import annotations

import uuid
from copy import replace
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING

from eventfold.core.commit import Commit, CommitPlace, Copy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventfold.core.stored import StoredEvent

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def event(data: object) -> StoredEvent:
    """Return an event of whatever data."""
    return {"type": "Happened", "v": 1, "data": data}  # type: ignore[typeddict-item] # what is no JSON, too


def commit(stream: str, version: int, events: int = 1, text: str = "é\0\U0001f600", **more: object) -> Commit:
    """Return a commit of so many events."""
    stored = tuple(event({"n": version + n, "text": text}) for n in range(events))
    made = Commit(stream, version, stored, str(uuid.uuid4()), AT + timedelta(seconds=version))
    return replace(made, **more)  # type: ignore[arg-type] # any field by name


type Change = Callable[[Commit], Commit]


def with_data(change: Callable[[dict[str, object]], object]) -> Change:
    """Return what makes a commit whose last event has other data."""
    return lambda one: replace(one, events=(*one.events[:-1], event(change({**one.events[-1]["data"]}))))


SAME: Mapping[str, Change] = {
    "as it is": lambda one: one,
    "in another zone": lambda one: replace(one, at=one.at.astimezone(timezone(timedelta(hours=5)))),
    "with another mapping": lambda one: replace(one, meta=MappingProxyType(one.meta)),
    "in another order of keys": with_data(lambda data: dict(reversed(data.items()))),
}
# After KurrentDB's tests of appending again, whose own rules for more and for fewer events differ.
OTHER: Mapping[str, Change] = {
    "another id": lambda one: replace(one, id="another"),
    "another digest": lambda one: replace(one, digest="another"),
    "another actor": lambda one: replace(one, meta={"actor": "another"}),
    "another time": lambda one: replace(one, at=one.at + timedelta(milliseconds=1)),
    "a sibling": lambda one: replace(one, siblings=(CommitPlace("thing-other", 1),)),
    "a copy": lambda one: replace(one, copies=(Copy(one.version, "thing-other", 1),)),
    "a snapshot due": lambda one: replace(one, snapshot_due=True),
    "more events": lambda one: replace(one, events=one.events * 2),
    "fewer events": lambda one: replace(one, events=one.events[:1]),
    "another order of events": lambda one: replace(one, events=one.events[::-1]),
    "another number": with_data(lambda data: data | {"n": 3}),
    "a number that is no integer": with_data(lambda data: data | {"n": 2.0}),
    "one more field": with_data(lambda data: data | {"more": None}),
}
UNREADABLE: Sequence[Mapping[str, object]] = [
    {"events": ()},
    {"id": ""},
    {"at": AT.replace(tzinfo=None)},
    *({name: "lone \ud800"} for name in ("id", "digest")),
    *({"meta": meta} for meta in ({"actor": "lone \ud800"}, {"lone \ud800": "a"}, {"actor": 1})),
    *({"events": (event(data),)} for data in ({"n": inf}, {"n": ["lone \ud800"]}, {"lone \ud800": 1})),
]
