"""Tallies: counters over all streams, each event counted exactly once.

Many streams share a counter's row, so a version on the row can't tell what it has seen. The increments and a checkpoint
of the stream they come from are written in one transaction instead: both or neither.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import batched, groupby
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

MAX_COUNTERS = 100
"""Counters of one row in one transaction: an expression takes 4 KB.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

type Counts = Mapping[str, Mapping[str, int]]
"""Counters by name, in rows by name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a tally has seen a stream.

    `step` is how many of the next commit's increments are in besides: a commit that adds to more rows than one
    transaction takes goes in several, and goes on from there after a crash.
    """

    stream: str
    version: int
    step: int = 0


class TallyStore(Protocol):
    """The port that counters and their checkpoints are kept behind."""

    def checkpoints(self, tally: str, streams: Sequence[str]) -> dict[str, Checkpoint]:
        """Return the checkpoints that exist, read consistently."""
        ...

    def add(self, tally: str, counts: Counts, checkpoint: Checkpoint, *, replaces: Checkpoint | None) -> None:
        """Add to counters and move the stream's checkpoint from `replaces`: both or neither.

        At most `MAX_ROWS` rows, with at most `MAX_COUNTERS` counters each.

        Raises:
            RowConflictError: the checkpoint is not `replaces`.
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
    """What a stream's events add, each step with the checkpoint it leads to: one step is one transaction.

    `needed` is the version of the last commit that adds something, 0 if none does. What follows that one is not
    written, so that a checkpoint is at this version or any later one.
    """

    steps: tuple[tuple[Checkpoint, Counts], ...]
    needed: int

    @property
    def version(self) -> int:
        """The version of the last event."""
        return self.steps[-1][0].version


class TallyTarget[E: Event]:
    """Keeps a generation of a tally up to date: one transaction for each stream in a batch that adds something.

    What touches more rows than one transaction takes goes in several, in order: a reader may see a part of it.
    """

    shared = True

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
        """See `Target.fold`. Whole commits share a transaction as far as it takes them; a larger one is parted."""
        steps: list[tuple[Checkpoint, Counts]] = []
        total: dict[str, dict[str, int]] = {}
        end: Checkpoint | None = None
        version, step = before.version if before else 0, before.step if isinstance(before, Checkpoint) else 0
        needed = before.needed if isinstance(before, Tallied) else 0
        for _, commit in groupby(events, key=lambda event: event.commit_id):
            some = list(commit)
            *parts, last = _parted(self._tally.counts(some), step)
            if end and (parts or not _fit(total, last)):
                steps.append((end, total))
                total = {}
            for part in parts:
                step += len(part)
                steps.append((Checkpoint(some[0].stream, version, step), part))
            add_counts(total, last)
            end = Checkpoint(some[-1].stream, some[-1].version)
            needed = end.version if parts or last or step else needed
            version, step = end.version, 0
        return Tallied((*steps, (end, total)), needed) if end else None

    def lay_out(self, folded: Iterable[Tallied]) -> None:
        """See `Target.lay_out`. Counters need nothing of the kind."""

    def save(self, before: Checkpoint | None, folded: Tallied) -> None:
        """See `Target.save`. Events that add nothing are not written."""
        for checkpoint, counts in folded.steps if folded.needed else ():
            self._store.add(self.name, counts, checkpoint, replaces=before)
            before = checkpoint

    def differs(self, mark: Checkpoint, folded: Tallied) -> bool:
        """See `Target.differs`. What a stream has added is not kept apart: the totals are compared instead."""
        return not folded.needed <= mark.version <= folded.version

    def needed(self, folded: Tallied) -> int:
        """See `Target.needed`."""
        return folded.needed

    def counts(self, folded: Tallied) -> Counts:
        """See `Target.counts`."""
        total: dict[str, dict[str, int]] = {}
        for _, counts in folded.steps:
            add_counts(total, counts)
        return total

    def totals(self, rows: Sequence[str]) -> Counts:
        """See `Target.totals`."""
        return self._store.totals(self.name, rows)


def _parted(counts: Counts, skip: int) -> list[dict[str, dict[str, int]]]:
    """Part increments among transactions, one at least, behind the first `skip`.

    Their order is always the same, so that a later run goes on where one has ended.
    """
    increments = [
        (row, dict(some))
        for row, counters in sorted(counts.items())
        for some in batched(sorted(counters.items()), MAX_COUNTERS, strict=False)
    ]
    parts: list[dict[str, dict[str, int]]] = [{}]
    for row, some in increments[skip:]:
        if row in parts[-1] or len(parts[-1]) == MAX_ROWS:
            parts.append({})
        parts[-1][row] = some
    return parts


def _fit(one: Counts, other: Counts) -> bool:
    """Whether one transaction takes both."""
    rows = one.keys() | other.keys()
    shared = one.keys() & other.keys()
    return len(rows) <= MAX_ROWS and all(len({*one[row], *other[row]}) <= MAX_COUNTERS for row in shared)


def add_counts(total: dict[str, dict[str, int]], counts: Counts) -> None:
    """Add counters to others."""
    for row, counters in counts.items():
        there = total.setdefault(row, {})
        for name, amount in counters.items():
            there[name] = there.get(name, 0) + amount
