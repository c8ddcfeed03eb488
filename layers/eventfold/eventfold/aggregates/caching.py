"""The aggregates that a process has seen last, so that its next command on one of them need not read it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from eventfold.aggregates.loading import Loaded

CACHED_STATES = 1_000
"""Aggregates that a command handler remembers."""


class StateCache[S: BaseModel]:
    """At most `size` aggregates, the least recently used forgotten first. Safe for threads.

    What it holds was true once and may be stale: whoever decides on it proves the decision against the table. It is
    never ahead of the table, since it takes in only what was read or written.
    """

    def __init__(self, size: int = CACHED_STATES) -> None:
        self._size = size
        self._lock = Lock()
        self._known: OrderedDict[str, Loaded[S]] = OrderedDict()

    def get(self, stream: str) -> Loaded[S] | None:
        """Return an aggregate as it was seen last, if it is remembered."""
        with self._lock:
            known = self._known.get(stream)
            if known is not None:
                self._known.move_to_end(stream)
            return known

    def put(self, loaded: Loaded[S]) -> None:
        """Remember an aggregate."""
        with self._lock:
            self._known[loaded.stream] = loaded
            self._known.move_to_end(loaded.stream)
            if len(self._known) > self._size:
                self._known.popitem(last=False)
