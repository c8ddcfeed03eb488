"""A long stream is checked and moved a page at a time: what it takes does not grow with it."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit
from eventfold.memory import MemoryEventStore, MemoryRowStore, MemoryTallyStore
from eventfold.operations.scanning import ScanPage
from eventfold.operations.transfer.exporting import export_events
from eventfold.operations.verify.segment import SegmentVerification
from eventfold.read_models.projections import Row, RowTarget
from eventfold.read_models.tallies import Checkpoint, Tally, TallyTarget
from tests.domain import COUNTER, TOTALS, Added

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT = datetime(2026, 1, 1, tzinfo=UTC)
COMMITS = 20_000
PAGE = 100
ADDED: Tally[Any] = Tally("added", "counter", COUNTER.codec, lambda _: [("all", "events", 1)])


class LongStream(MemoryEventStore):
    """One stream that exists only while it is read."""

    def scan(self, segment: int, segments: int, **_: Any) -> Iterator[ScanPage]:
        for first in range(1, COMMITS + 1, PAGE):
            yield ScanPage(tuple(self.commit(version) for version in range(first, first + PAGE)), 1)

    def commit(self, version: int) -> Commit:
        event = COUNTER.codec.encode(Added(amount=1))
        return Commit("counter-1", version, (event,), f"commit-{version}", AT, {"filler": "x" * 500}, "d")


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def verify() -> None:
    rows, tallies = MemoryRowStore(), MemoryTallyStore()
    rows.put("totals", Row("counter-1", COMMITS, f'{{"total":{COMMITS}}}', f"{COMMITS:09}\0counter-1"), replaces=0)
    tallies.add("added", {}, {Checkpoint("counter-1", COMMITS): None})
    targets = (RowTarget(TOTALS, rows), TallyTarget(ADDED, tallies))
    run = SegmentVerification(LongStream(), {"counter": COUNTER}, targets, 0, 1)
    assert list(run.findings()) == []
    assert run.verified.events == COMMITS
    assert run.checks[1].recount.counts == {"all": {"events": COMMITS}}


def export() -> None:
    assert export_events(LongStream(), lambda _: None).commits == COMMITS


@pytest.mark.parametrize("work", [verify, export])
def test_a_long_stream_takes_no_more_memory_than_some_pages(work: Callable[[], None]) -> None:
    work()  # Once before, so that what is kept for good is not counted.
    assert peak(work) < 2_000_000  # The stream itself takes 16 MB.
