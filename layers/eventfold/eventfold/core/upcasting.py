"""Old events in today's shape: stored versions are never rewritten, they are read through upcasters.

    @upcaster("UserCreated", 1)
    def with_email(data: Data) -> Data:
        return {"name": data["name"], "email": None}

An upcaster takes what is stored as version 1 and returns version 2, as plain data, before any model sees it. They are
chained until every event is one that the code has. `renamed`, `split` and `retired` are for what is more than a new
shape. All are pure. A stream's versions stay what they were: the parts of a split share theirs.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from eventfold.core.stored import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

type Data = dict[str, JsonValue]
type Key = tuple[str, int]


@dataclass(frozen=True)
class Upcaster:
    """How one stored version of an event is read. `to` is what it becomes, None if that is for `read` to say."""

    type: str
    version: int
    read: Callable[[Data], Sequence[StoredEvent]]
    to: Key | None = None


def upcaster(type_: str, version: int) -> Callable[[Callable[[Data], Data]], Upcaster]:
    """Make a function the way from one stored version of an event to the next."""

    def make(function: Callable[[Data], Data]) -> Upcaster:
        return Upcaster(
            type_,
            version,
            lambda data: [StoredEvent(type=type_, v=version + 1, data=function(data))],
            (type_, version + 1),
        )

    return make


def renamed(type_: str, version: int, *, to: Key) -> Upcaster:
    """Read an event under another name and version, with the same data."""
    return Upcaster(type_, version, lambda data: [StoredEvent(type=to[0], v=to[1], data=data)], to)


def split(type_: str, version: int) -> Callable[[Callable[[Data], Sequence[StoredEvent]]], Upcaster]:
    """Make a function the way from one stored event to several: each is a `StoredEvent(type=..., v=..., data=...)`."""
    return lambda function: Upcaster(type_, version, function)


def retired(type_: str, version: int) -> Upcaster:
    """Read an event as nothing: its type no longer exists, and its streams still replay."""
    return Upcaster(type_, version, lambda _data: [])


class UpcasterChain:
    """Upcasters, checked against each other and against the events that the code has.

    Raises:
        TypeError: two start from the same version, one starts from a version that the code has, one leads nowhere, or
            they lead in a circle; says which.
    """

    def __init__(self, upcasters: Sequence[Upcaster], current: Collection[Key]) -> None:
        self._by_key: dict[Key, Upcaster] = {}
        for one in upcasters:
            key = (one.type, one.version)
            if key in current:
                raise TypeError(
                    f"{_named(key)} is an event of the code, so nothing upcasts from it: give it a new version"
                )
            if key in self._by_key:
                raise TypeError(f"two upcasters start from {_named(key)}")
            self._by_key[key] = one
        for key in self._by_key:
            self._check_way(key, current)

    def __contains__(self, key: Key) -> bool:
        """Whether an upcaster starts from this version."""
        return key in self._by_key

    @property
    def sources(self) -> frozenset[Key]:
        """The stored versions that are read through upcasters."""
        return frozenset(self._by_key)

    def current(self, stored: StoredEvent) -> list[StoredEvent]:
        """Return the events that a stored one is read as; itself if no upcaster starts from it."""
        waiting, done = [stored], []
        for _ in range(_MAX_STEPS):
            if not waiting:
                break
            one = waiting.pop(0)
            found = self._by_key.get((one["type"], one["v"]))
            if found is None:
                done.append(one)
            else:
                # A copy: whatever a function does to its argument, what was read stays as it was.
                waiting[:0] = found.read(deepcopy(one["data"]))
        return done + waiting

    def _check_way(self, start: Key, current: Collection[Key]) -> None:
        seen = [start]
        while (step := self._by_key.get(seen[-1])) is not None and step.to is not None:
            if step.to in seen:
                raise TypeError(f"upcasters lead in a circle: {' -> '.join(map(_named, [*seen, step.to]))}")
            seen.append(step.to)
            if step.to not in current and step.to not in self._by_key:
                raise TypeError(
                    f"the upcaster from {_named(seen[-2])} leads to {_named(step.to)}, which the code does not have: "
                    "give the event that version, or write the next upcaster"
                )


_MAX_STEPS = 1_000
"""Ends what a split leads in a circle; what is left is then unknown to the code, and said to be."""


def _named(key: Key) -> str:
    return f"{key[0]!r} version {key[1]}"
