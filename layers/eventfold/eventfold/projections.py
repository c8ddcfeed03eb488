"""Projections: events in, rows of a read model out.

The stream is only a wake-up, and the event table is the truth: a duplicate is dropped by its version, a gap
is read from the table, and order is restored within each stream.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel

from eventfold.commit import category_of
from eventfold.errors import BrokenStreamError, EventfoldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.commit import Commit
    from eventfold.events import Codec, Event, Recorded
    from eventfold.store import EventStore


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a read model as stored: JSON, at the version of the last event it has seen.

    `data` is None for a tombstone. `sort` orders the read model's list; a row without it is not listed.
    """

    stream: str
    version: int
    data: str | None
    sort: str | None = None


class RowConflictError(EventfoldError):
    """Another run wrote the row in between."""


class RowStore(Protocol):
    """The port that read models are kept behind. Rows are found by projection and stream."""

    def get(self, projection: str, streams: Sequence[str]) -> dict[str, Row]:
        """Return the rows that exist, tombstones among them, read consistently."""
        ...

    def put(self, projection: str, row: Row, *, replaces: int) -> None:
        """Write the row if the one there is at version `replaces` (0: if none is there).

        Raises:
            RowConflictError: it is not.
        """
        ...

    def listed(self, projection: str, *, prefix: str, after: str | None, limit: int) -> list[Row]:
        """Return up to `limit` rows in order of `sort`: those that begin with `prefix`, behind `after`."""
        ...


@dataclass(frozen=True)
class Projection[R: BaseModel, E: Event]:
    """A read model with one row a stream.

    `project(row, event)` is pure and returns the row after the event; None removes it. `sort_key(stream, row)`
    gives a row its place in the list. `name` is part of the stored keys.
    """

    name: str
    category: str
    codec: Codec[E]
    row: type[R]
    project: Callable[[R | None, Recorded[E]], R | None]
    sort_key: Callable[[str, R], str] | None = None

    def follows(self, stream: str) -> bool:
        """Whether a stream's events are meant for it."""
        return category_of(stream) == self.category

    def advance(self, before: Row | None, events: Iterable[Recorded[E]]) -> Row | None:
        """Fold events onto a stored row."""
        data = self.row.model_validate_json(before.data) if before and before.data is not None else None
        last: Recorded[E] | None = None
        for last in events:
            data = self.project(data, last)
        if last is None:
            return before
        sort = self.sort_key(last.stream, data) if self.sort_key and data is not None else None
        return Row(last.stream, last.version, data.model_dump_json() if data is not None else None, sort)


@dataclass(slots=True)
class BatchResult:
    """What a run did, counted in commits; `failures` maps a stream to why it could not be projected."""

    applied: int = 0
    duplicates: int = 0
    healed: int = 0
    failures: dict[str, Exception] = field(default_factory=dict)


class ProjectionRunner:
    """Brings a read model up to date from a batch of commits: one write for each stream in it."""

    def __init__(self, store: EventStore, rows: RowStore, *, attempts: int = 3) -> None:
        self._store = store
        self._rows = rows
        self._attempts = attempts

    def run[R: BaseModel, E: Event](self, projection: Projection[R, E], commits: Iterable[Commit]) -> BatchResult:
        """Apply commits in any order, any number of times. One stream's failure leaves the others alone.

        Raises:
            StoreUnavailableError: the read models can't be read at all.
        """
        by_stream: dict[str, list[Commit]] = defaultdict(list)
        for commit in commits:
            by_stream[commit.stream].append(commit)
        result = BatchResult()
        rows = self._rows.get(projection.name, list(by_stream)) if by_stream else {}
        for stream, batch in by_stream.items():
            try:
                self._advance(projection, stream, rows.get(stream), batch, result)
            except Exception as failure:  # noqa: BLE001 - a projection is the user's code: it may raise anything
                result.failures[stream] = failure
        return result

    def _advance[R: BaseModel, E: Event](
        self, projection: Projection[R, E], stream: str, row: Row | None, batch: list[Commit], result: BatchResult
    ) -> None:
        for attempt in range(1, self._attempts + 1):
            version = row.version if row else 0
            pending, healed = self._pending(stream, version, batch)
            advanced = projection.advance(row, (e for commit in pending for e in projection.codec.recorded(commit)))
            try:
                if advanced is not None and pending:
                    self._rows.put(projection.name, advanced, replaces=version)
            except RowConflictError:
                if attempt == self._attempts:
                    raise
                row = self._rows.get(projection.name, [stream]).get(stream)
                continue
            result.applied += len(pending)
            result.healed += healed
            result.duplicates += len(batch) - (len(pending) - healed)
            return

    def _pending(self, stream: str, version: int, batch: list[Commit]) -> tuple[list[Commit], int]:
        """Return the commits to apply behind `version`, in order, and how many the batch lacked."""
        fresh: Mapping[int, Commit] = {commit.version: commit for commit in batch if commit.version > version}
        if not fresh:
            return [], 0
        pending = [fresh[key] for key in sorted(fresh)]
        if _first_gap(version, pending) is None:
            return pending, 0
        pending = list(self._store.oldest_first(stream, after=version))
        end = pending[-1].last_version if pending else version
        gap = _first_gap(version, pending) or (end + 1 if end < max(fresh) else None)
        if gap is not None:
            raise BrokenStreamError(stream, gap, "is missing from the event table")
        return pending, sum(commit.version not in fresh for commit in pending)


def _first_gap(version: int, commits: Sequence[Commit]) -> int | None:
    for commit in commits:
        if commit.version != version + 1:
            return version + 1
        version = commit.last_version
    return None
