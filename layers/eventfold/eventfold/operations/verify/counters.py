"""Shared counters held against a recount of all events, while they go on counting.

A counter is what all streams have added up to their checkpoints. The recount adds up the same from the events: each
stream up to the checkpoint that it was found at, which is remembered. Meanwhile streams move. So the counters are read
once the recount is done, and every checkpoint once more after that. A stream that has moved between the two had, when
the counters were read, added what its events up to some version in between make. All such streams together leave a
counter a range to lie in; where none has moved, a single number. Outside of it the counter is wrong, whatever moves.
Inside, it is looked at again from the newer checkpoints: the time in between is then short.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventfold.core.commit import contiguous
from eventfold.core.errors import StoreUnavailableError
from eventfold.operations.verify.finding import Finding
from eventfold.read_models.tallies import add_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from eventfold.core.store import EventStore
    from eventfold.operations.verify.keys import StoredKey
    from eventfold.read_models.tallies import Counts
    from eventfold.read_models.target import AnyTarget

ROUNDS = 3
"""How often counters are looked at that move."""


@dataclass(slots=True)
class Reading:
    """Counters as stored, at one moment; `unreadable` are the rows of which some make no sense."""

    counts: dict[str, Mapping[str, int]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)


def read_counters(target: AnyTarget, rows: Collection[str]) -> Reading:
    """Read the counters of these rows; where some make no sense, row by row."""
    try:
        return Reading(dict(target.totals(list(rows))))
    except (KeyError, ValueError):
        if len(rows) == 1:
            return Reading(unreadable=set(rows))
    reading = Reading()
    for row in rows:
        one = read_counters(target, [row])
        reading.counts |= one.counts
        reading.unreadable |= one.unreadable
    return reading


@dataclass(slots=True)
class Recount:
    """What each stream's events add up to the version that it was found at (`seen`). Some 200 bytes a stream.

    `uncounted` are the streams that a tally has seen and whose events can't be replayed.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    uncounted: set[str] = field(default_factory=set)

    def add(self, stream: str, version: int, counts: Counts) -> None:
        """Add a stream."""
        add_counts(self.counts, counts)
        self.seen[stream] = version

    def merge(self, other: Recount) -> None:
        """Add what another worker has counted, of other streams."""
        add_counts(self.counts, other.counts)
        self.seen |= other.seen
        self.uncounted |= other.uncounted


class CounterCheck:
    """Judges one tally's counters: those of the rows that were counted, and of `rows` besides.

    `findings` are those that are wrong; `unjudged` says of which it can't be told, because they move too fast.
    """

    def __init__(self, target: AnyTarget, store: EventStore, recount: Recount, rows: Iterable[str] = ()) -> None:
        self.findings: list[Finding] = []
        self.unjudged: list[str] = []
        self._target = target
        self._store = store
        self._recount = recount
        self._rows = {*rows, *recount.counts}
        self._known = set(self._rows)
        self._new: set[str] = set()
        self._judged: set[tuple[str, str]] = set()
        self._stored = Reading()
        self._room: dict[tuple[str, str], tuple[int, int]] = {}

    @property
    def rows(self) -> set[str]:
        """The rows that are yet to be judged."""
        return self._rows

    def read(self) -> None:
        """Read the counters: a round begins."""
        self._stored = read_counters(self._target, self._rows)
        self._room = {}
        self._new = set()

    def see(self, page: Sequence[StoredKey]) -> None:
        """Take keys of the read-model table, each read consistently since `read`. All are to be seen in a round.

        Raises:
            StoreUnavailableError: the events of a stream that has moved are out of reach.
        """
        for key in page:
            if key.stored != self._target.name or key.of in self._recount.uncounted:
                continue
            if key.kind == "counter":
                self._new |= {key.of} - self._known
            elif key.step or key.version != self._recount.seen.get(key.of, 0):
                self._follow(key)

    def judge(self) -> None:
        """Judge what the round has shown."""
        where = self._target.name
        if uncounted := len(self._recount.uncounted):
            if self._stored.counts:
                what = f"can't be recounted: of {uncounted} streams it has seen, events can't be replayed"
                self.findings.append(Finding("", None, what, where))
            self._rows = set()
            return
        for row in sorted(self._stored.unreadable):
            self.findings.append(Finding("", None, f"counters of {row} can't be read", where))
        self.unjudged = [f"{where}: counters of {row} have come meanwhile" for row in sorted(self._new)]
        left = set(self._new)
        self._known |= self._new
        for row in sorted(self._rows - self._stored.unreadable):
            stored, counted = self._stored.counts.get(row, {}), self._recount.counts.get(row, {})
            for counter in sorted({*stored, *counted}):
                if (row, counter) in self._judged:
                    continue
                there, amount = stored.get(counter, 0), counted.get(counter, 0)
                low, high = (amount + room for room in self._room.get((row, counter), (0, 0)))
                by_events = str(low) if low == high else f"{low} to {high}"
                what = f"counter {counter} of {row} is {there}, and by the events {by_events}"
                if low == high or not low <= there <= high:
                    self._judged.add((row, counter))
                if not low <= there <= high:
                    self.findings.append(Finding("", None, what, where))
                elif low != high:
                    self.unjudged.append(f"{where}: {what}")
                    left.add(row)
        self._rows = left

    def _follow(self, moved: StoredKey) -> None:
        """Count a stream on to where it is now, and note between which sums its counters were on the way there."""
        seen = self._recount.seen.get(moved.of, 0)
        if moved.version < seen:  # Nothing that is well goes back.
            self._recount.uncounted.add(moved.of)
            return
        run: dict[str, dict[str, int]] = {}
        low: dict[tuple[str, str], int] = {}
        high: dict[tuple[str, str], int] = {}
        try:
            for commit in contiguous(self._store.oldest_first(moved.of, after=seen), seen):
                ahead = commit.last_version > moved.version
                if ahead and not moved.step:
                    break
                reached = {row: dict(counters) for row, counters in run.items()} if ahead else run
                add_counts(reached, self._target.counts(self._target.fold(None, self._target.codec.recorded(commit))))
                for row, counters in reached.items():
                    for counter, amount in counters.items():
                        low[row, counter] = min(low.get((row, counter), 0), amount)
                        high[row, counter] = max(high.get((row, counter), 0), amount)
                if ahead:
                    break
        except StoreUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - a projection is the user's code: it may raise anything
            self._recount.uncounted.add(moved.of)
            return
        for (row, counter), least in low.items():
            end = run.get(row, {}).get(counter, 0)
            below, above = self._room.get((row, counter), (0, 0))
            self._room[row, counter] = (below + least - end, above + high[row, counter] - end)
        self._recount.add(moved.of, moved.version, run)


def check_counters(checks: Sequence[CounterCheck], keys: Callable[[], Iterable[Sequence[StoredKey]]]) -> None:
    """Judge the counters of several tallies; look again at those that move. `keys` reads all keys, consistently.

    Raises:
        StoreUnavailableError: at every attempt.
    """
    for _ in range(ROUNDS):
        left = [check for check in checks if check.rows]
        if not left:
            return
        for check in left:
            check.read()
        for page in keys():
            for check in left:
                check.see(page)
        for check in left:
            check.judge()
