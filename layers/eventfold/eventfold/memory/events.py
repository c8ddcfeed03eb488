"""The event store in memory, with the claims of unique keys."""

from __future__ import annotations

import zlib
from threading import Lock
from typing import TYPE_CHECKING

from eventfold.core.commit import (
    MAX_READ_NAME_BYTES,
    Commit,
    CommitPlace,
    Head,
    Snapshot,
    check_commit,
    check_stream_name,
    together,
)
from eventfold.core.errors import KeysHeldError, StreamsMovedError, VersionConflictError
from eventfold.core.store import Item, already_appended
from eventfold.core.unique import Claim
from eventfold.dynamodb.items import StoredCommit, commit_to_item
from eventfold.dynamodb.store import check_size
from eventfold.operations.scanning import Place, ScanPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventfold.core.unique import KeyMove


class MemoryEventStore:
    """Keeps the contract of `EventStore` without durability. What it gives back has been through the stored form."""

    def __init__(self) -> None:
        self._streams: dict[str, dict[float, Item]] = {}
        self._claims: dict[str, str] = {}
        self._lock = Lock()

    def append(self, commit: Commit, *, after: Head | None) -> None:
        """See `EventStore.append`."""
        check_commit(commit, after)
        item = commit_to_item(commit)
        if after is None and already_appended(self, commit):
            return
        with self._lock:
            winner = self._streams.setdefault(commit.stream, {}).setdefault(commit.version, StoredCommit(item))
        if isinstance(winner, Commit) and winner != commit:
            raise VersionConflictError(commit.stream, commit.version, winner)

    def append_together(
        self, commits: Sequence[Commit], *, guards: Sequence[Head] = (), moves: Sequence[KeyMove] = ()
    ) -> None:
        """See `EventStore.append_together`."""
        linked = together(commits, guards)
        check_size(linked, guards, moves)
        stored = [StoredCommit(commit_to_item(one)) for one in linked]
        free = [*((one.stream, one.version) for one in linked), *((one.stream, one.version + 1) for one in guards)]
        with self._lock:
            there = {stream: self._streams.get(stream, {}).get(version) for stream, version in free}
            winners = {stream: item for stream, item in there.items() if isinstance(item, Commit)}
            if any(winners.get(one.stream) == one for one in linked):
                return
            if winners:
                raise StreamsMovedError(winners)
            others = [move for move in moves if self._claims.get(move.key) not in (None, *move.held_by)]
            if held := tuple(move.key for move in others if move.to is not None):
                raise KeysHeldError(held)
            for one in stored:
                self._streams.setdefault(one.stream, {})[one.version] = one
            for move in (move for move in moves if move not in others):
                self._claims.pop(move.key, None)
                self._claims |= {move.key: move.to} if move.to is not None else {}

    def newest_first(
        self, stream: str, *, upto: int | None = None, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Item]:
        """See `EventStore.newest_first`."""
        del page_size, consistent
        for key, item in reversed(self._sorted(stream)):
            if upto is None or key <= upto + 0.5:
                yield item

    def oldest_first(
        self, stream: str, *, after: int = 0, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Commit]:
        """See `EventStore.oldest_first`."""
        del page_size, consistent
        for key, item in self._sorted(stream):
            if key > after and isinstance(item, Commit):
                yield item

    def holders(self, keys: Iterable[str]) -> dict[str, str]:
        """See `ClaimStore.holders`."""
        with self._lock:
            return {key: self._claims[key] for key in keys if key in self._claims}

    def listed(self) -> Iterator[Sequence[Claim]]:
        """See `ClaimStore.listed`."""
        with self._lock:
            claims = [Claim(*pair) for pair in self._claims.items()]
        yield claims

    def save_snapshot(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        """See `EventStore.save_snapshot`."""
        check_stream_name(snapshot.stream, MAX_READ_NAME_BYTES)
        with self._lock:
            items = self._streams.setdefault(snapshot.stream, {})
            there = items.get(snapshot.version + 0.5)
            if not replace and isinstance(there, Snapshot) and there.schema == snapshot.schema:
                return False
            items[snapshot.version + 0.5] = snapshot
            return True

    def scan(self, segment: int, segments: int, *, after: Place | None = None) -> Iterator[ScanPage]:
        """See `ScannableStore.scan`."""
        behind = (after.stream, float(after.key)) if after else ("", 0.0)
        for stream in sorted(self._streams):
            if zlib.crc32(stream.encode()) % segments == segment:
                items = tuple(item for key, item in self._sorted(stream) if (stream, key) > behind)
                yield ScanPage(items, 0)

    def items(self, stream: str) -> Iterator[Item]:
        """See `ScannableStore.items`."""
        return (item for _, item in self._sorted(stream))

    def commit_ids(self, places: Iterable[CommitPlace]) -> dict[CommitPlace, str]:
        """See `ScannableStore.commit_ids`."""
        there = {place: self._streams.get(place.stream, {}).get(place.version) for place in places}
        return {place: item.id for place, item in there.items() if isinstance(item, Commit)}

    def _sorted(self, stream: str) -> list[tuple[float, Item]]:
        check_stream_name(stream, MAX_READ_NAME_BYTES)
        with self._lock:
            return sorted(self._streams.get(stream, {}).items(), key=lambda pair: pair[0])
