"""Tallies: counters over all streams, each event counted exactly once.

Many streams share a counter's row, so a version on the row can't tell what it has seen. The increments and a checkpoint
of the stream they come from are written in one transaction instead: both or neither.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from eventfold.commit import category_of
from eventfold.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from eventfold.events import Codec, Recorded

MAX_ROWS = 99
"""Rows in one transaction, beside the checkpoint: DynamoDB takes 100 items.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

type Counts = Mapping[str, Mapping[str, int]]
"""Counters by name, in rows by name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a tally has seen a stream."""

    stream: str
    version: int


class TallyStore(Protocol):
    """The port that counters and their checkpoints are kept behind."""

    def checkpoints(self, tally: str, streams: Sequence[str]) -> dict[str, Checkpoint]:
        """Return the checkpoints that exist, read consistently."""
        ...

    def add(self, tally: str, counts: Counts, checkpoint: Checkpoint, *, replaces: int) -> None:
        """Add to counters and move the stream's checkpoint from version `replaces`: both or neither.

        Raises:
            RowConflictError: the checkpoint is not at `replaces`.
            StoreUnavailableError: the rows were too busy at every attempt; nothing was added.
        """
        ...

    def totals(self, tally: str, rows: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return the counters of these rows; a row that was never added to is left out."""
        ...


@dataclass(frozen=True)
class Tally[E: Event]:
    """Counters over all streams of a category.

    `count(event)` is pure and yields what the event adds: row, counter, amount. `name` is part of the stored keys.
    """

    name: str
    category: str
    codec: Codec[E]
    count: Callable[[Recorded[E]], Iterable[tuple[str, str, int]]]

    def follows(self, stream: str) -> bool:
        """Whether a stream's events are meant for it."""
        return category_of(stream) == self.category

    def counts(self, events: Iterable[Recorded[E]]) -> Counts:
        """Return what these events add."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for event in events:
            for row, counter, amount in self.count(event):
                counts[row][counter] += amount
        return {row: dict(counters) for row, counters in counts.items()}


class TallyTarget[E: Event]:
    """Keeps a tally up to date: one transaction for each stream in a batch."""

    def __init__(self, tally: Tally[E], store: TallyStore) -> None:
        self.name = tally.name
        self.codec = tally.codec
        self.follows = tally.follows
        self._tally = tally
        self._store = store

    def read(self, streams: Sequence[str]) -> dict[str, Checkpoint]:
        """See `Target.read`."""
        return self._store.checkpoints(self.name, streams)

    def write(self, before: Checkpoint | None, events: Sequence[Recorded[E]]) -> None:
        """See `Target.write`. Events that touch more rows than one transaction takes go in several, in order."""
        replaces = before.version if before else 0
        for some in self._chunks(events):
            checkpoint = Checkpoint(some[-1].stream, some[-1].version)
            self._store.add(self.name, self._tally.counts(some), checkpoint, replaces=replaces)
            replaces = checkpoint.version

    def _chunks(self, events: Sequence[Recorded[E]]) -> Iterator[list[Recorded[E]]]:
        """Part the events between commits, never within one: a checkpoint stands at a commit's end."""
        chunk: list[Recorded[E]] = []
        rows: set[str] = set()
        for _, commit in groupby(events, key=lambda event: event.commit_id):
            some = list(commit)
            touched = {row for event in some for row, _, _ in self._tally.count(event)}
            if chunk and len(rows | touched) > MAX_ROWS:
                yield chunk
                chunk, rows = [], set()
            chunk += some
            rows |= touched
        if chunk:
            yield chunk
