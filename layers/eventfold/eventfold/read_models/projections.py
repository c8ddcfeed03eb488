"""Projections with one row a stream: events in, rows of a read model out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from eventfold.core.commit import category_of, contiguous
from eventfold.core.errors import EventfoldError
from eventfold.core.events import Event
from eventfold.read_models.target import GenerationName, check_read_model_name, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eventfold.core.events import Codec, Recorded
    from eventfold.core.store import EventStore
    from eventfold.read_models.tallies import Counts
    from eventfold.read_models.target import Change


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a read model as stored: JSON, at the version of the last event it has seen.

    `data` is None for a tombstone. `sort` orders the read model's list; a row without it is not listed. `shown` is the
    version that a list shows: that of the last event which has changed the row. None where it is `version`.
    """

    stream: str
    version: int
    data: str | None
    sort: str | None = None
    shown: int | None = None


class RowConflictError(EventfoldError):
    """Another run wrote in between."""


class RowStore(Protocol):
    """The port that read models are kept behind. Rows are found by projection and stream."""

    def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        """Return the rows that exist, tombstones among them; see `Target.read` for `consistent`."""
        ...

    def put(self, projection: str, row: Row, *, replaces: int) -> None:
        """Write the row if the one there is at version `replaces` (0: if none is there).

        Raises:
            RowConflictError: it is not.
        """
        ...

    def get_active(self, projection: str, streams: Sequence[str]) -> dict[str, Row]:
        """Return the rows of the active generation, as `get` does. One request; one more after a switch."""
        ...

    def lay_out(self, projection: str, sorts: Iterable[str]) -> None:
        """Prepare a list for rows that sort about like these, before its first row. Once laid out, it stays so."""
        ...

    def listed(self, projection: str, *, prefix: str, after: str | None, limit: int) -> list[Row]:
        """Return up to `limit` rows in order of `sort`: those that begin with `prefix`, behind `after`.

        Their version is the one shown: a list is not written for an event that does not change what it shows.
        """
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

    def __post_init__(self) -> None:
        check_read_model_name(self.name)

    def follows(self, stream: str) -> bool:
        """Whether a stream's events are meant for it."""
        return category_of(stream) == self.category

    def advance(self, before: Row | None, events: Iterable[Recorded[E]]) -> Row | None:
        """Fold events onto a stored row."""
        data = self.row.model_validate_json(before.data) if before and before.data is not None else None
        shown = (before.shown or before.version) if before else 0
        last: Recorded[E] | None = None
        for last in events:
            changed = data if last.retired else self.project(data, last)
            shown = shown if changed == data else last.version
            data = changed
        if last is None:
            return before
        sort = self.sort_key(last.stream, data) if self.sort_key and data is not None else None
        shown_at = shown if sort is not None and shown != last.version else None
        return Row(last.stream, last.version, data.model_dump_json() if data is not None else None, sort, shown_at)

    def catch_up(self, store: EventStore, stream: str, row: Row | None) -> Row | None:
        """Return the row as it will be once it has seen all that the stream holds now. One request; writes nothing.

        Raises:
            BrokenStreamError: the event table lacks a commit.
        """
        version = row.version if row else 0
        commits = contiguous(store.oldest_first(stream, after=version), version)
        return self.advance(row, (one for commit in commits for one in self.codec.recorded(commit)))


class RowTarget[R: BaseModel, E: Event]:
    """Keeps a generation of a projection's rows up to date: one conditional write for each stream in a batch."""

    shared = False

    def __init__(self, projection: Projection[R, E], rows: RowStore, number: int = 1) -> None:
        self.generation = GenerationName(projection.name, number)
        self.name = str(self.generation)
        self.codec = projection.codec
        self.follows = projection.follows
        self._projection = projection
        self._rows = rows

    def at(self, number: int) -> RowTarget[R, E]:
        """See `Target.at`."""
        return RowTarget(self._projection, self._rows, number)

    def read(self, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        """See `Target.read`."""
        return self._rows.get(self.name, streams, consistent=consistent)

    def fold(self, before: Row | None, events: Iterable[Recorded[E]]) -> Row | None:
        """See `Target.fold`."""
        return self._projection.advance(before, events)

    def lay_out(self, folded: Iterable[Row]) -> None:
        """See `Target.lay_out`."""
        self._rows.lay_out(self.name, (row.sort for row in folded if row.sort is not None))

    def grouped[C: Change[Any, Any]](self, changes: Iterable[C]) -> Iterable[Sequence[C]]:
        """See `Target.grouped`. A write has one condition, and so one stream."""
        return ([one] for one in changes)

    def save(self, changes: Sequence[Change[Row, Row]]) -> None:
        """See `Target.save`."""
        for one in changes:
            self._rows.put(self.name, one.folded, replaces=version_of(one.before))

    def differs(self, mark: Row, folded: Row) -> bool:
        """See `Target.differs`."""
        return mark != folded

    def needed(self, folded: Row) -> int:
        """See `Target.needed`. A row moves with each event: it says how far it is."""
        return folded.version

    def counts(self, folded: Row) -> Counts:
        """See `Target.counts`."""
        del folded
        return {}

    def totals(self, rows: Sequence[str]) -> Counts:
        """See `Target.totals`."""
        del rows
        return {}
