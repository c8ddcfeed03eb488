"""The event store in memory: for tests and for trying a domain out. Safe for threads."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from eventfold.commit import Commit, Head, Snapshot, check_commit, check_stream_name
from eventfold.errors import VersionConflictError
from eventfold.store import Item, already_appended

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryEventStore:
    """Keeps the contract of `EventStore` without durability."""

    def __init__(self) -> None:
        self._streams: dict[str, dict[float, Item]] = {}
        self._lock = Lock()

    def append(self, commit: Commit, *, after: Head | None) -> None:
        """See `EventStore.append`."""
        check_commit(commit, after)
        if after is None and already_appended(self, commit):
            return
        with self._lock:
            winner = self._streams.setdefault(commit.stream, {}).setdefault(commit.version, commit)
        if isinstance(winner, Commit) and not winner.is_same(commit):
            raise VersionConflictError(commit.stream, commit.version, winner)

    def newest_first(
        self, stream: str, *, upto: int | None = None, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Item]:
        """See `EventStore.newest_first`."""
        del page_size, consistent
        for key, item in reversed(self._sorted(stream)):
            if upto is None or key <= upto + 0.5:
                yield item

    def oldest_first(self, stream: str, *, after: int = 0, consistent: bool = True) -> Iterator[Commit]:
        """See `EventStore.oldest_first`."""
        del consistent
        for key, item in self._sorted(stream):
            if key > after and isinstance(item, Commit):
                yield item

    def save_snapshot(self, snapshot: Snapshot) -> bool:
        """See `EventStore.save_snapshot`."""
        check_stream_name(snapshot.stream)
        with self._lock:
            items = self._streams.setdefault(snapshot.stream, {})
            there = items.get(snapshot.version + 0.5)
            if isinstance(there, Snapshot) and there.schema == snapshot.schema:
                return False
            items[snapshot.version + 0.5] = snapshot
            return True

    def _sorted(self, stream: str) -> list[tuple[float, Item]]:
        with self._lock:
            return sorted(self._streams.get(stream, {}).items(), key=lambda pair: pair[0])
