"""Streams of one batch that add to a tally share a transaction; what one of them does wrong stays its own."""

from __future__ import annotations

from collections import Counter as Bag
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfold import Commit, Head
from eventfold.core.errors import StoreUnavailableError
from eventfold.memory import MemoryEventStore, MemoryParkedStore, MemoryTallyStore
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import MAX_COUNTERS, MAX_ITEMS, TOGETHER, Checkpoint, Tallied, Tally, TallyTarget
from eventfold.read_models.target import Change
from tests.domain import COUNTER, Added
from tests.rebuilds import AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold import Recorded
    from eventfold.read_models.tallies import Counts, Moved

type Add = Callable[[str, Counts, Moved], None]


def count(recorded: Recorded[Any]) -> Iterator[tuple[str, str, int]]:
    yield "all", "n", recorded.event.amount
    yield f"last digit {recorded.event.amount % 10}", "n", 1


TALLY: Tally[Any] = Tally("added", "counter", COUNTER.codec, count)


class World:
    """Streams in a store, and a tally that notes its transactions."""

    def __init__(self) -> None:
        self.events = MemoryEventStore()
        self.parked = MemoryParkedStore()
        self.tallies = MemoryTallyStore()
        self.runner = ProjectionRunner(self.events, self.parked)
        self.target = TallyTarget(TALLY, self.tallies)
        self.transactions: list[list[str]] = []
        self.add = self.tallies.add
        self.through(self.add)

    def through(self, add: Add) -> None:
        def noted(tally: str, counts: Counts, moved: Moved) -> None:
            self.transactions.append(sorted(one.stream for one in moved))
            add(tally, counts, moved)

        self.tallies.add = noted  # type: ignore[method-assign] # in its place

    def append(self, number: int, version: int = 1, amount: int = 1) -> Commit:
        events = (COUNTER.codec.encode(Added(amount=amount)),)
        one = Commit(f"counter-{number}", version, events, f"{number}/{version}", AT)
        self.events.append(one, after=Head(one.stream, version - 1))
        return one

    def total(self) -> int:
        return self.tallies.totals("added", ["all"]).get("all", {}).get("n", 0)


def test_the_streams_of_a_batch_share_transactions() -> None:
    world = World()
    result = world.runner.run(world.target, [world.append(number) for number in range(60)])
    assert (result.applied, result.parked, result.failed) == (60, {}, {})
    assert sorted(map(len, world.transactions)) == [10, TOGETHER, TOGETHER]
    assert world.total() == 60


def test_only_streams_of_one_shard_share_a_transaction() -> None:
    world = World()
    world.tallies.shard = lambda stream: int(stream[-1]) % 3  # type: ignore[method-assign] # in its place
    assert not world.runner.run(world.target, [world.append(number) for number in range(10)]).parked
    assert sorted(sorted(int(one[-1]) for one in some) for some in world.transactions) == [
        [0, 3, 6, 9],
        [1, 4, 7],
        [2, 5, 8],
    ]


def test_one_that_another_run_has_written_is_not_counted_again_and_holds_up_no_other() -> None:
    world = World()
    batch = [world.append(number) for number in range(5)]
    add = world.add

    def overtaken(tally: str, counts: Counts, moved: Moved) -> None:
        if len(moved) > 1:
            add(tally, {"all": {"n": 1}, "last digit 1": {"n": 1}}, {Checkpoint("counter-3", 1): None})
        add(tally, counts, moved)

    world.through(overtaken)
    result = world.runner.run(world.target, batch)
    assert (result.applied, result.duplicates, result.parked) == (4, 1, {})
    assert world.tallies.totals("added", ["all", "last digit 1"]) == {"all": {"n": 5}, "last digit 1": {"n": 5}}


@pytest.mark.parametrize("how", ["not carried out", "answer lost"])
def test_a_transaction_that_fails_is_made_again_by_each_stream(how: str) -> None:
    carried_out = how == "answer lost"
    world = World()
    add = world.add

    def failing(tally: str, counts: Counts, moved: Moved) -> None:
        if len(moved) == 1 and not carried_out:
            return add(tally, counts, moved)
        if carried_out:
            add(tally, counts, moved)
        raise StoreUnavailableError("ReadTimeoutError")

    world.through(failing)
    result = world.runner.run(world.target, [world.append(number) for number in range(5)])
    assert (result.parked, result.failed) == ({}, {})
    assert world.total() == 5
    assert len(world.transactions) == (1 if carried_out else 1 + 5)


def test_one_that_is_refused_by_itself_is_parked_and_no_other() -> None:
    world = World()
    add = world.add

    def refusing(tally: str, counts: Counts, moved: Moved) -> None:
        if "counter-2" in {one.stream for one in moved}:
            raise RowConflictError("counter-2")
        add(tally, counts, moved)

    world.through(refusing)
    result = world.runner.run(world.target, [world.append(number) for number in range(5)])
    assert result.applied == 4
    assert result.parked.keys() == {"counter-2"}
    assert world.total() == 4


def test_what_was_missed_is_read_and_goes_with_the_others() -> None:
    world = World()
    missed = [world.append(number, amount=7) for number in range(3)]
    batch = [world.append(one, 2) for one in range(3)] + [world.append(number) for number in range(3, 6)]
    result = world.runner.run(world.target, batch)
    assert (result.applied, result.healed) == (9, len(missed))
    assert world.transactions == [[f"counter-{number}" for number in range(6)]]
    assert world.total() == 3 * 7 + 6


amounts = st.dictionaries(
    st.integers(0, 200).map(lambda n: f"row {n}"),
    st.dictionaries(st.sampled_from([f"n{n}" for n in range(150)]), st.integers(1, 9), min_size=1, max_size=3),
    max_size=60,
)


@given(st.lists(st.tuples(amounts, st.booleans()), max_size=80))
def test_groups_hold_each_stream_once_and_no_more_than_a_transaction_takes(
    streams: list[tuple[dict[str, dict[str, int]], bool]],
) -> None:
    target = World().target
    changes = []
    for number, (counts, in_two) in enumerate(streams):
        stream = f"counter-{number}"
        steps = ((Checkpoint(stream, 1), counts), *([(Checkpoint(stream, 2), counts)] if in_two else []))
        changes.append(Change[Checkpoint, Tallied](stream, None, Tallied(steps, len(steps))))
    groups = list(target.grouped(changes))
    assert sorted(one.stream for group in groups for one in group) == sorted(one.stream for one in changes)
    for group in groups:
        assert len(group) == 1 or all(len(one.folded.steps) == 1 for one in group)
        rows = Bag(
            row
            for row, _ in {(row, n) for one in group for row, some in target.counts(one.folded).items() for n in some}
        )
        assert len(group) == 1 or (
            len(rows) + len(group) <= MAX_ITEMS and max(rows.values(), default=0) <= MAX_COUNTERS
        )
        assert len(group) <= TOGETHER
