"""Shared counters held against a recount of all events, while they go on counting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventfold.findings import Finding
from eventfold.tallies import add_counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from eventfold.tallies import Counts


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

    def differing(self, before: Counts, after: Counts, where: str) -> Iterator[Finding]:
        """Yield the counters that are not as counted between two readings, `before` and `after`.

        A counter that only grows lies between the two; one that shrinks too is judged only where it stood still. Where
        streams can't be counted, no counter is judged.
        """
        if self.uncounted and (before or after):
            what = f"can't be recounted: of {self.uncounted} streams it has seen, events can't be replayed"
            yield Finding("", None, what, where)
            return
        for row in sorted({*before, *self.counts, *after}):
            readings = [counts.get(row, {}) for counts in (before, self.counts, after)]
            for counter in sorted({name for counters in readings for name in counters}):
                low, amount, high = (counters.get(counter, 0) for counters in readings)
                moving = low != high and (row, counter) in self.shrinking
                if not (moving or low <= amount <= high):
                    what = f"counter {counter} of {row} is {high}, and by the events {amount}"
                    yield Finding("", None, what, where)
