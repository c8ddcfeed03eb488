"""What a tally is spared is not lost to it: records that never come are found by any later one, whatever that one counts."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventfold import Commit
from eventfold.core.errors import StoreUnavailableError
from eventfold.memory import MemoryControlStore, MemoryEventStore, MemoryParkedStore
from eventfold.read_models.feed import Feed
from eventfold.read_models.live import Generations
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Tally, TallyTarget
from tests.domain import COUNTER, TOTALS, Added
from tests.stale import StaleRowStore, StaleTallyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold import Recorded
    from eventfold.read_models.target import AnyTarget

AT = datetime(2026, 1, 1, tzinfo=UTC)
FAILURES = st.one_of(
    st.lists(st.booleans(), max_size=60), st.lists(st.sampled_from([False, False, False, True]), max_size=60)
)
"""Of each call: whether it fails before it is carried out, and whether its answer is lost."""
STREAMS = ("counter-1", "counter-2", "counter-3")


def count(recorded: Recorded[Any]) -> Iterator[tuple[str, str, int]]:
    """Count what adds something; what adds 0 is idle."""
    if recorded.event.amount:
        yield "all", "amount", recorded.event.amount


class World:
    """Read models on memory stores, whose calls fail as they are told."""

    def __init__(self, fails: Iterator[bool]) -> None:
        self.fails = fails
        self.events, self.parked, self.controls = MemoryEventStore(), MemoryParkedStore(), MemoryControlStore()
        self.rows, self.tallies = StaleRowStore(self.controls), StaleTallyStore(self.controls)
        self.requests = 0
        for store, names in ((self.rows, ("get", "put")), (self.tallies, ("checkpoints", "add"))):
            for name in names:
                setattr(store, name, self._watched(getattr(store, name)))
        targets: list[AnyTarget] = [
            RowTarget(TOTALS, self.rows),
            TallyTarget(Tally("sums", "counter", COUNTER.codec, count), self.tallies),
        ]
        runner = ProjectionRunner(self.events, self.parked, writers=1)
        generations = Generations(self.controls, [one.name for one in targets])
        self.now = AT
        self.feed = Feed(targets, runner, self.parked, generations, clock=lambda: self.now)

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **named: Any) -> Any:
            self.requests += 1
            before, after = next(self.fails, False), next(self.fails, False)
            if before:
                raise StoreUnavailableError("not carried out")
            found = call(*args, **named)
            if after:
                raise StoreUnavailableError("answer lost")
            return found

        return watched

    def deliver(self, batch: list[Commit]) -> None:
        """Bring a batch as Lambda does: again, as long as it fails, and a minute later what still does is parked."""
        while failed := self.feed.project(batch):
            batch = [commit for commit in batch if commit.stream in failed]
            self.now += timedelta(seconds=40)


@settings(max_examples=1000)
@given(
    st.lists(st.tuples(st.sampled_from(STREAMS), st.lists(st.integers(0, 2), min_size=1, max_size=3)), max_size=14),
    st.data(),
)
def test_counters_are_right_once_the_last_record_of_each_stream_has_come(
    history: list[tuple[str, list[int]]], data: st.DataObject
) -> None:
    world = World(iter(data.draw(FAILURES)))
    heads: dict[str, int] = defaultdict(int)
    commits = []
    for number, (stream, amounts) in enumerate(history):
        events = tuple(COUNTER.codec.encode(Added(amount=amount)) for amount in amounts)
        commit = Commit(stream, heads[stream] + 1, events, f"commit-{number}", AT)
        world.events.append(commit, after=None)
        heads[stream] += len(events)
        commits.append(commit)
    come = data.draw(st.permutations([one for one in commits if data.draw(st.booleans())]))
    while come:
        size = data.draw(st.integers(1, len(come)))
        world.deliver(list(come[:size]))
        come = come[size:]
    for stream in heads:  # the last one of each stream comes, whatever was before
        world.deliver([[one for one in commits if one.stream == stream][-1]])
    world.fails = iter(())
    world.feed.redrive()
    assert list(world.parked.listed()) == []
    total = sum(amount for _, amounts in history for amount in amounts)
    assert world.tallies.totals("sums", ["all"]).get("all", {}).get("amount", 0) == total
    rows = world.rows.get("totals", STREAMS)
    assert {stream: row.version for stream, row in rows.items()} == dict(heads)


def test_an_idle_commit_asks_nothing_of_the_tally() -> None:
    world = World(iter(()))
    world.rows.behind = world.tallies.behind = False
    for number, amount in enumerate((1, 0, 0), 1):
        commit = Commit("counter-1", number, (COUNTER.codec.encode(Added(amount=amount)),), f"commit-{number}", AT)
        world.events.append(commit, after=None)
        world.requests = 0
        world.deliver([commit])
        assert world.requests == (4 if amount else 2), "the row read and written; the checkpoint too, where it counts"


def test_a_row_does_not_go_on_without_the_tally_that_has_missed_something() -> None:
    """Else the row would be up to date when the idle commit comes again, and nobody would see the gap."""
    marks_read, tally_out_of_reach = (False, False), (True,)
    world = World(iter([False] * 8 + [*marks_read, *tally_out_of_reach]))
    for number, amount in enumerate((1, 7, 0), 1):
        commit = Commit("counter-1", number, (COUNTER.codec.encode(Added(amount=amount)),), f"commit-{number}", AT)
        world.events.append(commit, after=None)
        if number != 2:
            world.deliver([commit])
    assert world.tallies.totals("sums", ["all"]) == {"all": {"amount": 8}}
