"""What can't be projected is parked; other streams flow on; a redrive replays it from the event table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from eventfold import Commit, Event, Head, Recorded
from eventfold.core.errors import StoreUnavailableError
from eventfold.memory import MemoryEventStore, MemoryParkedStore, MemoryRowStore, MemoryTallyStore
from eventfold.read_models.projections import Projection, Row, RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Counts, Moved, Tally, TallyTarget
from tests.domain import COUNTER, Added, Closed, Total, project

AT = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A store with a projection that can't digest 13 until it is fixed."""

    def __init__(self, store: Meanwhile | None = None) -> None:
        self.store = store or Meanwhile()
        self.rows = MemoryRowStore()
        self.parked = MemoryParkedStore()
        self.fixed = False
        self.runner = ProjectionRunner(self.store, self.parked)
        projection = Projection("totals", "counter", COUNTER.codec, Total, self.project)
        self.target = RowTarget(projection, self.rows)

    def project(self, row: Total | None, recorded: Recorded[Added | Closed]) -> Total | None:
        if isinstance(recorded.event, Added) and recorded.event.amount == 13 and not self.fixed:
            raise ZeroDivisionError("secret@example.com")
        return project(row, recorded)

    def append(self, stream: str, *amounts: int) -> list[Commit]:
        """Append one commit for each amount."""
        commits: list[Commit] = []
        for amount in amounts:
            version = max((c.last_version for c in self.store.oldest_first(stream)), default=0) + 1
            event = COUNTER.codec.encode(Added(amount=amount))
            commits.append(Commit(stream, version, (event,), f"{stream}/{version}", AT))
            self.store.append(commits[-1], after=Head(stream, version - 1))
        return commits

    def row(self, stream: str) -> tuple[int, int | None] | None:
        """Return a row's version and total."""
        found = self.rows.get("totals", [stream]).get(stream)
        return (found.version, Total.model_validate_json(found.data).total if found.data else None) if found else None


@pytest.fixture
def world() -> World:
    return World()


def test_a_stream_that_fails_is_parked_with_its_reason_and_the_others_flow_on(world: World) -> None:
    good = world.append("counter-1", 1)
    first = world.append("counter-2", 5)
    world.runner.run(world.target, first)
    result = world.runner.run(world.target, [*world.append("counter-2", 13), *good])
    assert list(result.parked) == ["counter-2"]
    assert world.row("counter-1") == (1, 1)
    assert world.row("counter-2") == (1, 5)
    (parked,) = world.parked.listed("totals")
    assert (parked.projection, parked.stream, parked.version, parked.attempts) == ("totals", "counter-2", 1, 1)
    assert parked.reason.startswith("ZeroDivisionError at test_parking.py:")
    assert "secret" not in parked.reason  # what an error quotes may be personal


def test_later_commits_of_a_parked_stream_wait_behind_it(world: World) -> None:
    world.runner.run(world.target, world.append("counter-1", 13))
    (before,) = world.parked.listed()
    world.runner.run(world.target, world.append("counter-1", 1))
    world.runner.run(world.target, world.append("counter-1", 2))
    assert world.row("counter-1") is None
    (after,) = world.parked.listed()
    assert (after.since, after.attempts) == (before.since, 3)


def test_a_redrive_after_a_fix_replays_all_of_it_and_releases_it(world: World) -> None:
    world.runner.run(world.target, world.append("counter-1", 1, 13, 2))
    assert list(world.runner.redrive(world.target, ["counter-1"]).parked) == ["counter-1"]
    assert len(list(world.parked.listed())) == 1
    world.fixed = True
    result = world.runner.redrive(world.target, ["counter-1"])
    assert (result.released, result.applied) == (["counter-1"], 3)
    assert world.row("counter-1") == (3, 16)
    assert list(world.parked.listed()) == []
    assert world.runner.redrive(world.target, ["counter-1"]).applied == 0  # again is harmless


def test_the_next_commit_after_a_fix_releases_it_too(world: World) -> None:
    world.runner.run(world.target, world.append("counter-1", 13))
    world.fixed = True
    result = world.runner.run(world.target, world.append("counter-1", 1))
    assert (result.released, result.healed) == (["counter-1"], 1)
    assert world.row("counter-1") == (2, 14)
    assert list(world.parked.listed()) == []


def test_a_stream_that_was_trimmed_is_healed_by_its_next_commit(world: World) -> None:
    world.append("counter-1", 1, 2, 3)  # these records were never delivered
    world.runner.run(world.target, world.append("counter-1", 4))
    assert world.row("counter-1") == (4, 10)


# --- A redrive, or a heal, while the feed parks the same stream -------------------------------------------


class Meanwhile(MemoryEventStore):
    """Lets another process work between two requests of this one: right after the event table was read."""

    then: Callable[[], object] | None = None

    def oldest_first(self, stream: str, **more: Any) -> Iterator[Commit]:
        read = list(super().oldest_first(stream, **more))
        then, self.then = self.then, None
        if then:
            then()
        return iter(read)


@pytest.mark.parametrize("by", ["a redrive", "the next commit"])
def test_what_was_parked_after_the_event_table_was_read_stays_parked(by: str) -> None:
    """The row lacks the commit that the other process has parked, and only the parking says so."""
    world = World(Meanwhile())
    world.runner.run(world.target, world.append("counter-1", 13))
    world.fixed = True
    wake_up = world.append("counter-1", 1)

    def park_another() -> None:
        world.fixed = False
        world.runner.run(world.target, world.append("counter-1", 13))
        world.fixed = True

    world.store.then = park_another
    if by == "a redrive":
        result = world.runner.redrive(world.target, ["counter-1"])
    else:
        result = world.runner.run(world.target, wake_up)
    assert world.row("counter-1") == (2, 14)
    assert result.released == []
    assert [(one.stream, one.attempts) for one in world.parked.listed()] == [("counter-1", 2)]
    assert world.runner.redrive(world.target, ["counter-1"]).released == ["counter-1"]
    assert world.row("counter-1") == (3, 27)


def test_two_redrives_at_once_apply_once_and_release() -> None:
    world = World(Meanwhile())
    world.runner.run(world.target, world.append("counter-1", 13, 1))
    world.fixed = True
    world.store.then = lambda: world.runner.redrive(world.target, ["counter-1"])
    result = world.runner.redrive(world.target, ["counter-1"])
    assert (result.applied, result.parked, world.row("counter-1")) == (0, {}, (2, 14))
    assert list(world.parked.listed()) == []


def test_a_stream_that_may_not_go_to_its_end_is_not_released(world: World) -> None:
    world.runner.run(world.target, world.append("counter-1", 1, 13, 2))
    world.fixed = True
    result = world.runner.redrive(world.target, ["counter-1"], upto={"counter-1": 2})
    assert (result.released, world.row("counter-1")) == ([], (2, 14))
    assert len(list(world.parked.listed())) == 1


class Full(MemoryParkedStore):
    """Can't park some streams."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused

    def park(self, projection: str, stream: str, version: int | None, reason: str) -> None:
        if stream in self.refused:
            raise ZeroDivisionError("a key that is too long, a table that is out of reach: whatever it is")
        super().park(projection, stream, version, reason)


def test_what_can_not_even_be_parked_has_to_come_again_and_holds_up_no_other_stream(world: World) -> None:
    world.parked = Full("counter-1")
    world.runner = ProjectionRunner(world.store, world.parked)
    batch = [commit for stream in ("counter-1", "counter-2", "counter-3") for commit in world.append(stream, 13)]
    result = world.runner.run(world.target, [*batch, *world.append("counter-4", 1)])
    assert {stream: type(error) for stream, error in result.failed.items()} == {"counter-1": ZeroDivisionError}
    assert result.parked.keys() == {"counter-2", "counter-3"}
    assert world.row("counter-4") == (1, 1)


def test_a_row_that_makes_no_sense_parks_its_stream_alone(world: World) -> None:
    class Spoilt(MemoryRowStore):
        def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
            if "counter-1" in streams:
                raise KeyError("version")
            return super().get(projection, streams, consistent=consistent)

    world.rows = Spoilt()
    target = RowTarget(Projection("totals", "counter", COUNTER.codec, Total, project), world.rows)
    batch = [*world.append("counter-1", 1), *world.append("counter-2", 1)]
    assert world.runner.run(target, batch).parked.keys() == {"counter-1"}
    assert world.row("counter-2") == (1, 1)
    assert world.runner.redrive(target, ["counter-1", "counter-2"]).parked.keys() == {"counter-1"}
    assert [(one.stream, one.attempts) for one in world.parked.listed()] == [("counter-1", 2)]


def test_read_models_that_can_not_be_read_fail_the_batch_so_that_it_comes_again(world: World) -> None:
    class Down(MemoryRowStore):
        def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
            raise StoreUnavailableError("ThrottlingException")

    target = RowTarget(Projection("totals", "counter", COUNTER.codec, Total, project), Down())
    with pytest.raises(StoreUnavailableError):
        world.runner.run(target, world.append("counter-1", 1))
    assert list(world.parked.listed()) == []


class TestTally:
    def test_events_that_touch_more_rows_than_a_transaction_takes_go_in_several(self, world: World) -> None:
        class Limited(MemoryTallyStore):
            largest = 0

            def add(self, tally: str, counts: Counts, moved: Moved) -> None:
                self.largest = max(self.largest, len(counts))
                super().add(tally, counts, moved)

        def count(recorded: Recorded[Event]) -> Iterator[tuple[str, str, int]]:
            yield f"row {recorded.version}", "n", 1
            yield "all", "n", 1

        tallies = Limited()
        target = TallyTarget(Tally("t", "counter", COUNTER.codec, count), tallies)
        assert not world.runner.run(target, world.append("counter-1", *range(250))).parked
        assert tallies.largest == 99
        assert tallies.totals("t", ["all", "row 1", "row 250"]) == {
            "all": {"n": 250},
            "row 1": {"n": 1},
            "row 250": {"n": 1},
        }

    def test_each_event_is_counted_exactly_once(self, world: World) -> None:
        def count(recorded: Recorded[Event]) -> Iterator[tuple[str, str, int]]:
            if isinstance(recorded.event, Added):
                yield "all", "amount", recorded.event.amount
                yield "all", "events", 1

        tallies = MemoryTallyStore()
        target = TallyTarget(Tally("sums", "counter", COUNTER.codec, count), tallies)
        one = world.append("counter-1", 1, 2, 3)
        two = world.append("counter-2", 10, 20)
        for batch in ([one[2], two[0]], one, [*two, *two], [one[0]], two[::-1]):
            assert not world.runner.run(target, batch).parked
        assert tallies.totals("sums", ["all", "other"]) == {"all": {"amount": 36, "events": 5}}
        assert tallies.checkpoints("sums", ["counter-1", "counter-2", "counter-3"]).keys() == {"counter-1", "counter-2"}
