"""How much of a stream a load asks for first."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventfold.aggregates.loading import Loaded

DEFAULT_INTERVAL = 50
"""Events between two snapshots."""
_LOADS = 4


def first_page(interval: int = DEFAULT_INTERVAL) -> int:
    """Return how many items a load asks for first, where snapshots are `interval` events apart.

    Half of them, and some for a snapshot that is still on its way: most loads find their snapshot there, and a second
    request costs less than always reading the other half.
    """
    return interval // 2 + 6


class FirstPages:
    """The first pages of one kind of aggregate, as its loads find it.

    Where nobody takes snapshots, long streams are read from their beginning, and a page for half an interval is a
    request for nothing. So a load asks for what each of the last few has needed, the least of them, and never less than
    `first_page`: one stream that has lost its snapshot makes no other load read more.
    """

    def __init__(self, interval: int) -> None:
        self._least = first_page(interval)
        self._needed = deque([self._least] * _LOADS, _LOADS)

    def size(self) -> int:
        """Return how many items to ask for."""
        return max(self._least, min(self._needed.copy()))

    def learn(self, loaded: Loaded[Any]) -> None:
        """Take in what a load has needed: what came behind its snapshot, or the whole stream; and an eighth more."""
        needed = loaded.version - loaded.snapshot_version + 1
        self._needed.append(needed + needed // 8)
