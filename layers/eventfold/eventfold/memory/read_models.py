"""Rows, counters and parked streams in memory."""

from __future__ import annotations

import uuid
import zlib
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from eventfold.memory.controls import MemoryControlStore
from eventfold.operations.verify.keys import StoredKey
from eventfold.read_models.parking import Parked
from eventfold.read_models.projections import Row, RowConflictError
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eventfold.read_models.generations import ControlStore
    from eventfold.read_models.tallies import Checkpoint, Counts, Moved


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
