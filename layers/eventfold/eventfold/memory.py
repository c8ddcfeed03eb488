"""The stores in memory: for tests and for trying a domain out. Safe for threads."""

from __future__ import annotations

import time
import uuid
import zlib
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
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
from eventfold.core.errors import StreamsMovedError, VersionConflictError
from eventfold.core.store import Item, already_appended
from eventfold.dynamodb.items import StoredCommit, commit_to_item
from eventfold.dynamodb.store import check_size
from eventfold.operations.scanning import Place, ScanPage
from eventfold.operations.verify.keys import StoredKey
from eventfold.read_models.generations import Control
from eventfold.read_models.parking import Parked
from eventfold.read_models.projections import Row, RowConflictError
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from eventfold.operations.rebuild.progress import Phase, Progress
    from eventfold.read_models.generations import ControlStore
    from eventfold.read_models.tallies import Checkpoint, Counts, Moved


class MemoryEventStore:
    """Keeps the contract of `EventStore` without durability. What it gives back has been through the stored form."""

    def __init__(self) -> None:
        self._streams: dict[str, dict[float, Item]] = {}
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

    def append_together(self, commits: Sequence[Commit], *, guards: Sequence[Head] = ()) -> None:
        """See `EventStore.append_together`."""
        linked = together(commits, guards)
        check_size(linked, guards)
        stored = [StoredCommit(commit_to_item(one)) for one in linked]
        free = [*((one.stream, one.version) for one in linked), *((one.stream, one.version + 1) for one in guards)]
        with self._lock:
            there = {stream: self._streams.get(stream, {}).get(version) for stream, version in free}
            winners = {stream: item for stream, item in there.items() if isinstance(item, Commit)}
            if any(winners.get(one.stream) == one for one in linked):
                return
            if winners:
                raise StreamsMovedError(winners)
            for one in stored:
                self._streams.setdefault(one.stream, {})[one.version] = one

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


_NOBODY: tuple[str, float, str | None] = ("", -1.0, None)
"""Who holds a rebuild that nobody does: the owner, until when, and why it was released."""


class MemoryControlStore:
    """Keeps the contracts of `ControlStore` and `ProgressStore` without durability."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._controls: dict[str, Control] = {}
        self._progress: dict[tuple[str, Phase, int], Progress] = {}
        self._pages: dict[tuple[str, Phase, int, str], bytes] = {}
        self._holds: dict[str, tuple[str, float, str | None]] = {}
        self._clock = clock
        self._lock = Lock()

    def read(self, projections: Sequence[str]) -> dict[str, Control]:
        """See `ControlStore.read`."""
        return {name: self._controls.get(name) or Control.first(name) for name in projections}

    def write(self, control: Control, *, unparked: bool = False) -> Control:
        """See `ControlStore.write`."""
        with self._lock:
            there = self._controls.get(control.projection)
            written = control.model_copy(update={"revision": control.revision + 1})
            if there and there.model_copy(update={"parkings": written.parkings}) == written:
                return written
            changed = (there.revision if there else 0) != control.revision
            if changed or (unparked and there and there.parkings != control.parkings):
                raise RowConflictError(f"the control item of {control.projection} was changed in between")
            self._controls[control.projection] = written
            return written

    def count_parking(self, projection: str) -> None:
        """See `ControlStore.count_parking`."""
        with self._lock:
            if there := self._controls.get(projection):
                self._controls[projection] = there.model_copy(update={"parkings": there.parkings + 1})

    def progress(self, stored: str, phase: Phase, parts: Sequence[int]) -> dict[int, Progress]:
        """See `ProgressStore.progress`."""
        return {part: found for part in parts if (found := self._progress.get((stored, phase, part))) is not None}

    def save_progress(self, stored: str, phase: Phase, progress: Progress) -> Progress:
        """See `ProgressStore.save_progress`."""
        key = (stored, phase, progress.part)
        with self._lock:
            there = self._progress.get(key)
            written = progress.model_copy(update={"revision": progress.revision + 1})
            if (there.revision if there else 0) != progress.revision and not (there and there.run == progress.run):
                raise RowConflictError(f"the progress of {stored} was changed in between")
            self._progress[key] = written
            return written

    def save_page(self, stored: str, phase: Phase, part: int, name: str, content: bytes) -> None:
        """See `ProgressStore.save_page`."""
        self._pages[stored, phase, part, name] = content

    def pages(self, stored: str, phase: Phase, part: int, names: Sequence[str]) -> Iterator[bytes]:
        """See `ProgressStore.pages`."""
        return (page for name in names if (page := self._pages.get((stored, phase, part, name))) is not None)

    def forget_progress(self, stored: str, parts: Sequence[int]) -> None:
        """See `ProgressStore.forget_progress`."""
        for key in [key for key in self._progress if key[0] == stored and key[2] in parts]:
            del self._progress[key]
        for page in [page for page in self._pages if page[0] == stored and page[2] in parts]:
            del self._pages[page]

    def hold(self, projection: str, owner: str, seconds: float, *, on: bool = False) -> float:
        """See `ProgressStore.hold`."""
        with self._lock:
            holder, until, failure = self._holds.get(projection, _NOBODY)
            mine = holder == owner and not (on and failure is not None)
            if not mine and (on or until >= self._clock()):
                return max(until - self._clock(), 0.001)
            self._holds[projection] = (owner, self._clock() + seconds, None)
            return 0

    def release(self, projection: str, owner: str, reason: str = "") -> None:
        """See `ProgressStore.release`."""
        with self._lock:
            holder, _, failure = self._holds.get(projection, _NOBODY)
            if holder == owner and failure is None:
                self._holds[projection] = (owner, -1.0, reason)

    def failure(self, projection: str, owner: str) -> str:
        """See `ProgressStore.failure`."""
        holder, _, failure = self._holds.get(projection, _NOBODY)
        return failure or "" if holder == owner else ""


class MemoryRowStore:
    """Keeps the contract of `RowStore` without durability."""

    def __init__(self, controls: ControlStore | None = None) -> None:
        self._controls = controls or MemoryControlStore()
        self._rows: dict[tuple[str, str], Row] = {}
        self._lock = Lock()

    def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        """See `RowStore.get`."""
        del consistent
        return {stream: row for stream in streams if (row := self._rows.get((projection, stream))) is not None}

    def get_active(self, projection: str, streams: Sequence[str]) -> dict[str, Row]:
        """See `RowStore.get_active`."""
        active = self._controls.read([projection])[projection].active
        return self.get(str(GenerationName(projection, active)), streams)

    def put(self, projection: str, row: Row, *, replaces: int) -> None:
        """See `RowStore.put`."""
        key = (projection, row.stream)
        with self._lock:
            there = self._rows.get(key)
            if (there.version if there else 0) != replaces:
                raise RowConflictError(f"{projection}: {row.stream!r} is not at version {replaces}")
            self._rows[key] = row

    def lay_out(self, projection: str, sorts: Iterable[str]) -> None:
        """See `RowStore.lay_out`. Memory has one place for all."""

    def listed(self, projection: str, *, prefix: str, after: str | None, limit: int) -> list[Row]:
        """See `RowStore.listed`."""
        rows = [
            (row.sort, row)
            for (name, _), row in self._rows.items()
            if name == projection and row.sort is not None and row.sort.startswith(prefix) and row.sort > (after or "")
        ]
        shown = (row for _, row in sorted(rows, key=lambda pair: pair[0])[:limit])
        return [replace(row, version=row.shown or row.version, shown=None) for row in shown]

    def stored(self) -> list[tuple[tuple[str, str], Row]]:
        """Return every row, by stored name and stream."""
        with self._lock:
            return list(self._rows.items())


class MemoryTallyStore:
    """Keeps the contract of `TallyStore` without durability."""

    def __init__(self, controls: ControlStore | None = None) -> None:
        self._controls = controls or MemoryControlStore()
        self._checkpoints: dict[tuple[str, str], Checkpoint] = {}
        self._counts: dict[tuple[str, str, str], int] = defaultdict(int)
        self._lock = Lock()

    def checkpoints(self, tally: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Checkpoint]:
        """See `TallyStore.checkpoints`."""
        del consistent
        return {stream: found for stream in streams if (found := self._checkpoints.get((tally, stream))) is not None}

    def shard(self, stream: str) -> int:
        """See `TallyStore.shard`. There is one."""
        del stream
        return 0

    def add(self, tally: str, counts: Counts, moved: Moved) -> None:
        """See `TallyStore.add`."""
        with self._lock:
            for checkpoint, replaces in moved.items():
                if self._checkpoints.get((tally, checkpoint.stream)) != replaces:
                    raise RowConflictError(f"{tally}: {checkpoint.stream!r} is not at {replaces}")
            self._checkpoints |= {(tally, checkpoint.stream): checkpoint for checkpoint in moved}
            for row, counters in counts.items():
                for name, amount in counters.items():
                    self._counts[tally, row, name] += amount

    def totals(self, tally: str, rows: Sequence[str]) -> dict[str, dict[str, int]]:
        """See `TallyStore.totals`."""
        totals: dict[str, dict[str, int]] = defaultdict(dict)
        wanted = frozenset(rows)
        for (name, row, counter), amount in self._counts.items():
            if name == tally and row in wanted:
                totals[row][counter] = amount
        return dict(totals)

    def totals_active(self, tally: str, rows: Sequence[str]) -> dict[str, dict[str, int]]:
        """See `TallyStore.totals_active`."""
        active = self._controls.read([tally])[tally].active
        return self.totals(str(GenerationName(tally, active)), rows)

    def stored(self) -> list[tuple[tuple[str, str], Checkpoint]]:
        """Return every checkpoint, by stored name and stream."""
        with self._lock:
            return list(self._checkpoints.items())

    def rows(self) -> set[tuple[str, str]]:
        """Return every row that has counters, by stored name and row."""
        with self._lock:
            return {(tally, row) for tally, row, _ in self._counts}


class MemoryKeyListing:
    """Keeps the contract of `KeyListing`: the keys of two stores in memory, as if they were one table."""

    def __init__(self, rows: MemoryRowStore, tallies: MemoryTallyStore) -> None:
        self._rows = rows
        self._tallies = tallies

    def keys(
        self, segment: int, segments: int, *, consistent: bool = False, rate: float | None = None
    ) -> Iterator[list[StoredKey]]:
        """See `KeyListing.keys`."""
        del consistent, rate
        rows = [StoredKey(stored, "row", stream, row.version) for (stored, stream), row in self._rows.stored()]
        marks = [
            StoredKey(stored, "checkpoint", stream, one.version, one.step)
            for (stored, stream), one in self._tallies.stored()
        ]
        counters = [StoredKey(stored, "counter", row) for stored, row in self._tallies.rows()]
        yield [key for key in (*rows, *marks, *counters) if zlib.crc32(key.of.encode()) % segments == segment]


class MemoryParkedStore:
    """Keeps the contract of `ParkedStore` without durability."""

    def __init__(self) -> None:
        self._parked: dict[tuple[str, str], Parked] = {}
        self._lock = Lock()

    def park(self, projection: str, stream: str, version: int | None, reason: str) -> None:
        """See `ParkedStore.park`."""
        with self._lock:
            there = self._parked.get((projection, stream))
            since = there.since if there else datetime.now(UTC)
            attempts = there.attempts + 1 if there else 1
            version = there.version if there and version is None else version
            token = uuid.uuid4().hex
            self._parked[projection, stream] = Parked(projection, stream, version, reason, since, attempts, token)

    def find(self, projection: str, stream: str) -> Parked | None:
        """See `ParkedStore.find`."""
        return self._parked.get((projection, stream))

    def release(self, parked: Parked) -> bool:
        """See `ParkedStore.release`."""
        key = (parked.projection, parked.stream)
        with self._lock:
            if self._parked.get(key, parked).token != parked.token:
                return False
            self._parked.pop(key, None)
            return True

    def listed(self, projection: str | None = None) -> Iterator[Parked]:
        """See `ParkedStore.listed`."""
        return (one for one in list(self._parked.values()) if projection in (None, one.projection))
