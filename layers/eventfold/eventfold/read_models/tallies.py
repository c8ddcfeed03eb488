"""Tallies: counters over all streams, each event counted exactly once.

Many streams share a counter's row, so a version on the row can't tell what it has seen. The increments and a checkpoint
of the stream they come from are written in one transaction instead: both or neither.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from eventfold.core.commit import category_of
from eventfold.core.events import Event
from eventfold.read_models.target import GenerationName, check_read_model_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.core.events import Codec, Recorded

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

    def totals_active(self, tally: str, rows: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return the counters of the active generation, as `totals` does; read again after a switch."""
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

    def __post_init__(self) -> None:
        check_read_model_name(self.name)

    def follows(self, stream: str) -> bool:
        """Whether a stream's events are meant for it."""
        return category_of(stream) == self.category

    def counts(self, events: Iterable[Recorded[E]]) -> Counts:
        """Return what these events add."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for event in events:
            for row, counter, amount in () if event.retired else self.count(event):
                counts[row][counter] += amount
        return {row: dict(counters) for row, counters in counts.items()}


@dataclass(frozen=True, slots=True)
class Tallied:
    """What a stream's events add, each step with the checkpoint it leads to: one step is one transaction."""

    steps: tuple[tuple[Checkpoint, Counts], ...]

    @property
    def version(self) -> int:
        """The version of the last event."""
        return self.steps[-1][0].version


class TallyTarget[E: Event]:
    """Keeps a generation of a tally up to date: one transaction for each stream in a batch.

    Events that touch more rows than one transaction takes go in several, in order.
    """

    def __init__(self, tally: Tally[E], store: TallyStore, number: int = 1) -> None:
        self.generation = GenerationName(tally.name, number)
        self.name = str(self.generation)
        self.codec = tally.codec
        self.follows = tally.follows
        self._tally = tally
        self._store = store

    def at(self, number: int) -> TallyTarget[E]:
        """See `Target.at`."""
        return TallyTarget(self._tally, self._store, number)

    def read(self, streams: Sequence[str]) -> dict[str, Checkpoint]:
        """See `Target.read`."""
        return self._store.checkpoints(self.name, streams)

    def fold(self, before: Checkpoint | Tallied | None, events: Iterable[Recorded[E]]) -> Tallied | None:
        """See `Target.fold`. A step ends between commits: a checkpoint stands at a commit's end."""
        del before
        steps: list[tuple[Checkpoint, Counts]] = []
        total: dict[str, dict[str, int]] = {}
        checkpoint: Checkpoint | None = None
        for _, commit in groupby(events, key=lambda event: event.commit_id):
            some = list(commit)
            added = self._tally.counts(some)
            if checkpoint and len(total.keys() | added.keys()) > MAX_ROWS:
                steps.append((checkpoint, total))
                total = {}
            add_counts(total, added)
            checkpoint = Checkpoint(some[-1].stream, some[-1].version)
        if checkpoint:
            steps.append((checkpoint, total))
        return Tallied(tuple(steps)) if steps else None

    def save(self, before: Checkpoint | None, folded: Tallied) -> None:
        """See `Target.save`."""
        replaces = before.version if before else 0
        for checkpoint, counts in folded.steps:
            self._store.add(self.name, counts, checkpoint, replaces=replaces)
            replaces = checkpoint.version

    def differs(self, mark: Checkpoint, folded: Tallied) -> bool:
        """See `Target.differs`. What a stream has added is not kept apart: the totals are compared instead."""
        return mark.version != folded.version

    def counts(self, folded: Tallied) -> Counts:
        """See `Target.counts`."""
        total: dict[str, dict[str, int]] = {}
        for _, counts in folded.steps:
            add_counts(total, counts)
        return total

    def shrinking(self, events: Iterable[Recorded[E]]) -> set[tuple[str, str]]:
        """See `Target.shrinking`."""
        added = (one for event in events if not event.retired for one in self._tally.count(event))
        return {(row, counter) for row, counter, amount in added if amount < 0}

    def totals(self, counted: Counts) -> Counts:
        """See `Target.totals`."""
        return self._store.totals(self.name, list(counted))


def add_counts(total: dict[str, dict[str, int]], counts: Counts) -> None:
    """Add counters to others."""
    for row, counters in counts.items():
        there = total.setdefault(row, {})
        for name, amount in counters.items():
            there[name] = there.get(name, 0) + amount
