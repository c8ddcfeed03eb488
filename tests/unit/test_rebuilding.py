"""A rebuild in memory: fill beside the live feed, go on after a crash, verify, promote, roll back, drop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit, Head
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.memory import MemoryEventStore
from eventfold.operations.reading import SteadyPages, StoppedError
from eventfold.operations.rebuild.steps import Timing
from eventfold.operations.scanning import Place, ScanPage
from eventfold.read_models.projections import Row
from tests.domain import TOTALS, Added
from tests.rebuilds import AT, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> World:
    """Ten streams of three events, fed to the first generation."""
    one = World()
    for n in range(10):
        one.append(str(n), Added(amount=n), Added(amount=1))
        one.append(str(n), Added(amount=1))
    return one


def test_a_rebuilt_generation_equals_the_live_one_and_is_shown_by_one_switch(world: World) -> None:
    rebuild = world.ready()
    assert world.stored("totals.2") == world.stored("totals")
    assert len(world.stored("totals.2")) == 10
    assert rebuild.control().active == 1
    rebuild.switch(2)
    assert rebuild.control().active == 2
    rebuild.switch(rebuild.control().candidate("retired"))
    assert rebuild.control().active == 1


def test_a_tally_is_rebuilt_with_each_event_counted_once() -> None:
    world = World("tally")
    for n in range(10):
        world.append(str(n), *[Added(amount=1)] * (n + 1))
    rebuild = world.ready()
    rebuild.switch(2)
    assert world.tallies.totals_active("added", ["all"]) == {"all": {"events": 55}}
    world.append("3", Added(amount=1))
    for name in ("added", "added.2"):
        assert world.tallies.totals(name, ["all"]) == {"all": {"events": 56}}


def test_a_rebuild_appends_no_event_and_takes_no_snapshot(world: World) -> None:
    before = {stream: dict(items) for stream, items in world.store._streams.items()}
    world.ready()
    assert world.store._streams == before


def test_each_stream_is_one_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    put = world.rows.put

    def counted(projection: str, row: Row, *, replaces: int) -> None:
        writes.append(row.stream)
        put(projection, row, replaces=replaces)

    monkeypatch.setattr(world.rows, "put", counted)
    world.ready()
    assert sorted(writes) == sorted(f"counter-{n}" for n in range(10))


def test_what_the_live_feed_has_written_is_not_written_over(world: World) -> None:
    rebuild = world.rebuild()
    generation = rebuild.begin("table", 3)
    world.append("3", Added(amount=100))
    filled = world.run(rebuild, "fill", generation)
    assert sum(one.redriven for one in filled) == 1
    assert world.stored("totals.2") == world.stored("totals")


def test_a_scan_that_did_not_see_all_is_made_whole_from_the_table(world: World) -> None:
    class Behind(MemoryEventStore):
        """Its scan lacks the first commit of one stream and the last of another."""

        def scan(self, segment: int, segments: int, *, after: Place | None = None) -> Iterator[ScanPage]:
            for page in super().scan(segment, segments, after=after):
                hidden = {("counter-1", 1), ("counter-2", 3)}
                yield ScanPage(tuple(one for one in page.items if (one.stream, one.version) not in hidden), 0)

    store = Behind()
    store._streams = world.store._streams
    behind = World(store=store)
    behind.rows._rows = dict(world.rows._rows)
    behind.ready()
    assert behind.stored("totals.2") == world.stored("totals")


def test_a_scan_in_another_order_is_put_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards(MemoryEventStore):
        def scan(self, segment: int, segments: int, *, after: Place | None = None) -> Iterator[ScanPage]:
            for page in super().scan(segment, segments, after=after):
                yield ScanPage(page.items[::-1], 0)

    store = Backwards()
    store._streams = world.store._streams
    backwards = World(store=store)
    filled = backwards.run(rebuild := backwards.rebuild(), "fill", rebuild.begin("table", 3))
    assert (sum(one.streams for one in filled), sum(one.redriven for one in filled)) == (10, 0)


def test_a_generation_that_is_behind_the_active_one_is_brought_on_before_it_is_shown(world: World) -> None:
    rebuild = world.rebuild()
    generation = rebuild.begin("table", 3)
    world.run(rebuild, "fill", generation)
    row = world.stored("totals.2")["counter-4"]
    world.rows._rows["totals.2", "counter-4"] = Row("counter-4", 2, '{"total":5}', "000000005\0counter-4")
    proven = world.run(rebuild, "verify", rebuild.filled(2))
    assert sum(one.redriven for one in proven) == 1
    assert world.stored("totals.2")["counter-4"] == row


def test_a_worker_goes_on_where_the_last_one_was_stopped(world: World) -> None:
    rebuild = world.rebuild()
    generation = rebuild.begin("table", 3)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 6

    first = world.run(rebuild, "fill", generation, stop=stop)
    assert not all(one.done for one in first)
    done = sum(one.streams for one in first)
    assert 0 < done < 10
    with pytest.raises(RebuildRefusedError, match="parts are left to fill"):
        rebuild.filled(2)
    reads: list[str] = []
    fold = TOTALS.advance
    second = world.rebuild()
    again = second.begin("table", 7)
    assert (again.number, again.parts) == (2, 3)

    def counted(self: object, before: Row | None, events: Any) -> Row | None:
        row = fold(before, events)
        reads.append(row.stream if row else "")
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(TOTALS), "advance", counted)
        filled = world.run(second, "fill", again)
    assert len(reads) == 10 - done
    assert sum(one.streams for one in filled) == 10
    assert world.stored("totals.2") == world.stored("totals")


def test_a_second_rebuild_at_once_is_refused(world: World) -> None:
    world.rebuild("me").begin("table", 3)
    with pytest.raises(RebuildRefusedError, match="is running"):
        world.rebuild("you").begin("table", 3)
    world.rebuild("me").release()
    assert world.rebuild("you").begin("table", 3).number == 2
    with pytest.raises(RebuildRefusedError, match="has taken over"):
        world.run(world.rebuild("me"), "fill", world.rebuild("me").control().generation(2))


def test_a_stream_that_fails_is_parked_and_keeps_the_generation_from_being_shown(world: World) -> None:
    bad = Commit("counter-9", 4, ({"type": "Gone", "v": 1, "data": {}},), "x", AT)
    world.store.append(bad, after=Head("counter-9", 3))
    rebuild = world.rebuild()
    generation = rebuild.begin("table", 3)
    filled = world.run(rebuild, "fill", generation)
    assert sum(one.wrong for one in filled) == 1
    assert [(one.projection, one.stream) for one in world.parked.listed()] == [("totals.2", "counter-9")]
    world.run(rebuild, "verify", rebuild.filled(2))
    with pytest.raises(RebuildRefusedError, match=r"counter-9: UnknownEventError.*drop totals 2"):
        rebuild.verified(2)
    world.store._streams["counter-9"].pop(4)
    world.run(rebuild, "verify", rebuild.control().generation(2))
    rebuild.verified(2)
    assert not list(world.parked.listed())
    world.parked.park("totals.2", "counter-1", 1, "since then")
    with pytest.raises(RebuildRefusedError, match="1 streams of generation 2 are parked, the first counter-1"):
        rebuild.switch(2)


def test_a_row_that_is_not_what_its_events_make_keeps_the_generation_from_being_shown(world: World) -> None:
    rebuild = world.rebuild()
    world.run(rebuild, "fill", rebuild.begin("table", 3))
    world.rows._rows["totals.2", "counter-1"] = Row("counter-1", 3, '{"total":7}', "000000007\0counter-1")
    world.run(rebuild, "verify", rebuild.filled(2))
    with pytest.raises(RebuildRefusedError, match="counter-1: the row at version 3 is not what its events make"):
        rebuild.verified(2)


def test_a_counter_that_is_not_the_recount_keeps_the_generation_from_being_shown() -> None:
    world = World("tally")
    world.append("1", Added(amount=1))
    rebuild = world.rebuild()
    world.run(rebuild, "fill", rebuild.begin("table", 3))
    world.tallies._counts["added.2", "all", "events"] = 2
    world.run(rebuild, "verify", rebuild.filled(2))
    with pytest.raises(RebuildRefusedError, match="counter events of all is 2, and by the events 1"):
        rebuild.verified(2)


def test_a_switch_waits_for_the_one_before_it(world: World) -> None:
    world.ready()
    careful = world.rebuild(timing=Timing())
    careful.switch(2)
    with pytest.raises(RebuildRefusedError, match=r"switched a moment ago. Try again in 6\d s"):
        careful.switch(1)
    assert careful.switch(1, at_once=True).active == 1


def test_a_dropped_generation_is_no_longer_fed_and_forgotten_once_its_rows_are_gone(world: World) -> None:
    rebuild = world.ready()
    rebuild.switch(2)
    assert world.rebuild(timing=Timing()).stop_feeding(1) > 60
    world.append("1", Added(amount=1))
    assert world.stored("totals")["counter-1"].version == 3
    assert world.stored("totals.2")["counter-1"].version == 4

    def sweep(stored: str) -> Iterator[int]:
        for stream in list(world.stored(stored)):
            del world.rows._rows[stored, stream]
            yield 1

    interrupted = rebuild.drop(1, sweep)
    assert [next(interrupted) for _ in range(4)] == [1, 2, 3, 4]
    assert rebuild.control().generation(1).status == "dropping"
    assert list(rebuild.drop(1, sweep)) == [1, 2, 3, 4, 5, 6]
    assert [one.number for one in rebuild.control().generations] == [2]
    assert rebuild.begin("table", 3).number == 3


def test_a_source_from_before_the_generation_was_fed_is_refused(world: World) -> None:
    with pytest.raises(RebuildRefusedError, match=r"export shows the events of 2026-01-01.*Take a new export now"):
        world.rebuild("one").begin("export", 9, as_of=AT)
    assert world.rebuild("two").begin("newer", 8, as_of=datetime.now(UTC)).parts == 8


def test_pages_keep_to_their_rate_and_go_on_over_passing_failures(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)

    class Failing:
        name, parts, as_of = "table", 1, None
        calls = 0

        def pages(self, part: int, *, after: Place | None) -> Iterator[ScanPage]:
            self.calls += 1
            for n, page in enumerate(world.store.scan(0, 1, after=after)):
                if n and self.calls < 4:
                    raise StoreUnavailableError("ThrottlingException")
                yield ScanPage(page.items, 10)

    source = Failing()
    pages = SteadyPages(source, 0, None, rate=4, beat=lambda: False)
    seen = [item.stream for page in pages for item in page.items]
    assert seen == sorted(f"counter-{n}" for n in range(10) for _ in range(2))
    assert source.calls == 4
    assert pages.units == 10 * 13  # a page behind each failure is empty
    assert sum(slept) >= 13 * 2.5


def test_a_worker_that_is_told_to_stop_leaves_the_stream_it_is_in(world: World) -> None:
    pages = SteadyPages(world.source, 0, None, rate=None, beat=lambda: True)
    with pytest.raises(StoppedError):
        next(iter(pages))
