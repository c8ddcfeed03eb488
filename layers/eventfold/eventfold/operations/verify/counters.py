"""Shared counters held against a recount of all events, while they go on counting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventfold.operations.verify.finding import Finding
from eventfold.read_models.tallies import add_counts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from eventfold.read_models.tallies import Counts
    from eventfold.read_models.target import AnyTarget


@dataclass(slots=True)
class Reading:
    """Counters as stored, at one moment; `unreadable` are the rows of which some make no sense."""

    counts: dict[str, Mapping[str, int]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)


def read_counters(target: AnyTarget, rows: Collection[str]) -> Reading:
    """Read the counters of these rows; where some make no sense, row by row."""
    try:
        return Reading(dict(target.totals({row: {} for row in rows})))
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
    """What the events up to each stream's checkpoint add up to.

    `shrinking` are the counters, as row and name, that some event made smaller; `uncounted` the streams that a tally
    has seen and whose events can't be replayed.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    shrinking: set[tuple[str, str]] = field(default_factory=set)
    uncounted: int = 0

    def add(self, counts: Counts, shrinking: AbstractSet[tuple[str, str]], uncounted: int = 0) -> None:
        """Add a stream, or what another worker has counted."""
        add_counts(self.counts, counts)
        self.shrinking |= shrinking
        self.uncounted += uncounted

    def differing(self, before: Reading, after: Reading, where: str) -> Iterator[Finding]:
        """Yield the counters that are not as counted between two readings, `before` and `after`.

        A counter that only grows lies between the two; one that shrinks too is judged only where it stood still. Where
        streams can't be counted, no counter is judged; nor is a row's where some make no sense, which is a finding.
        """
        unreadable = before.unreadable | after.unreadable
        for row in sorted(unreadable):
            yield Finding("", None, f"counters of {row} can't be read", where)
        if self.uncounted and (before.counts or after.counts):
            what = f"can't be recounted: of {self.uncounted} streams it has seen, events can't be replayed"
            yield Finding("", None, what, where)
            return
        for row in sorted({*before.counts, *self.counts, *after.counts} - unreadable):
            readings = [counts.get(row, {}) for counts in (before.counts, self.counts, after.counts)]
            for counter in sorted({name for counters in readings for name in counters}):
                low, amount, high = (counters.get(counter, 0) for counters in readings)
                moving = low != high and (row, counter) in self.shrinking
                if not (moving or low <= amount <= high):
                    what = f"counter {counter} of {row} is {high}, and by the events {amount}"
                    yield Finding("", None, what, where)
