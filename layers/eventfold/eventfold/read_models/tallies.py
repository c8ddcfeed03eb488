"""Tallies: counters over all streams, each event counted exactly once.

Many streams share a counter's row, so a version on the row can't tell what it has seen. The increments and a checkpoint
of the stream they come from are written in one transaction instead: both or neither. Streams of one batch that count
in the same shard share it, so that a counter is written once for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import batched, groupby
from typing import TYPE_CHECKING, Any, Protocol

from eventfold.core.commit import category_of
from eventfold.core.events import Event
from eventfold.read_models.target import GenerationName, check_read_model_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.core.events import Codec, Recorded
    from eventfold.read_models.target import Change

MAX_ITEMS = 100
"""Rows and checkpoints in one transaction.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

MAX_COUNTERS = 100
"""Counters of one row in one transaction: an expression takes 4 KB.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

TOGETHER = 25
"""Streams in one transaction: most of what sharing saves, with little to do again where one stream is in the way."""

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


type Moved = Mapping[Checkpoint, Checkpoint | None]
"""Checkpoints of different streams, each with the one that it replaces; None where the stream has none yet."""


class TallyStore(Protocol):
    """The port that counters and their checkpoints are kept behind."""

    def checkpoints(self, tally: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Checkpoint]:
        """Return the checkpoints that exist; see `Target.read` for `consistent`."""
        ...

    def shard(self, stream: str) -> int:
        """Return which of the items that a counter is spread over is this stream's, always the same.

        What one event adds and a later one takes away is then seen together, so no counter is seen below zero.
        """
        ...

    def add(self, tally: str, counts: Counts, moved: Moved) -> None:
        """Add to counters and move the checkpoints of the streams they come from, all of one shard: all or nothing.

        At most `MAX_ITEMS` rows and checkpoints, with at most `MAX_COUNTERS` counters in a row.

        Raises:
            RowConflictError: a checkpoint is not what it is to replace.
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

    `count(event)` is pure and yields what the event adds: row, counter, amount. An event that went to several streams
    is counted once, where it is at home. `name` is part of the stored keys.
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
            for row, counter, amount in () if event.retired or event.is_copy else self.count(event):
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
    """Keeps a generation of a tally up to date: one transaction for up to `TOGETHER` streams of a shard.

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

    def read(self, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Checkpoint]:
        """See `Target.read`."""
        return self._store.checkpoints(self.name, streams, consistent=consistent)

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

    def grouped[C: Change[Any, Any]](self, changes: Iterable[C]) -> Iterable[Sequence[C]]:
        """See `Target.grouped`. Streams of one shard go together; what takes several transactions, by itself."""
        open_groups: dict[int, tuple[list[C], dict[str, dict[str, int]]]] = {}
        for one in changes:
            (_, counts), *more = one.folded.steps
            if more:
                yield [one]
                continue
            shard = self._store.shard(one.stream)
            group, total = open_groups.get(shard, ([], {}))
            if group and (len(group) == TOGETHER or not _fit(total, counts, checkpoints=len(group) + 1)):
                yield group
                group, total = [], {}
            group.append(one)
            add_counts(total, counts)
            open_groups[shard] = group, total
        yield from (group for group, _ in open_groups.values())

    def save(self, changes: Sequence[Change[Checkpoint, Tallied]]) -> None:
        """See `Target.save`. Events that add nothing are not written."""
        writes = [one for one in changes if one.folded.needed]
        if len(writes) == 1:
            before = writes[0].before
            for checkpoint, counts in writes[0].folded.steps:
                self._store.add(self.name, counts, {checkpoint: before})
                before = checkpoint
        elif writes:
            total: dict[str, dict[str, int]] = {}
            for one in writes:
                add_counts(total, one.folded.steps[0][1])
            self._store.add(self.name, total, {one.folded.steps[0][0]: one.before for one in writes})

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
        if row in parts[-1] or len(parts[-1]) == MAX_ITEMS - 1:
            parts.append({})
        parts[-1][row] = some
    return parts


def _fit(one: Counts, other: Counts, *, checkpoints: int = 1) -> bool:
    """Whether one transaction takes both, and so many checkpoints."""
    rows = one.keys() | other.keys()
    shared = one.keys() & other.keys()
    return len(rows) + checkpoints <= MAX_ITEMS and all(len({*one[row], *other[row]}) <= MAX_COUNTERS for row in shared)


def add_counts(total: dict[str, dict[str, int]], counts: Counts) -> None:
    """Add counters to others."""
    for row, counters in counts.items():
        there = total.setdefault(row, {})
        for name, amount in counters.items():
            there[name] = there.get(name, 0) + amount
