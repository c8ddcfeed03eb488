"""Shared counters against their recount while streams move: what is right is never found wrong, what is wrong never passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfold import Commit
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.rebuild import pages
from eventfold.operations.rebuild.pages import from_page, to_pages
from eventfold.operations.rebuild.steps import job
from eventfold.operations.rebuild.verification import Prover
from eventfold.operations.verify import counters
from eventfold.operations.verify.counters import CounterCheck, Reading, Recount, check_counters, read_counters
from eventfold.operations.verify.finding import Finding
from eventfold.read_models import tallies
from eventfold.read_models.tallies import Tally, TallyTarget
from tests.domain import COUNTER, Added, Closed
from tests.rebuilds import AT, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventfold import Recorded
    from eventfold.operations.rebuild.steps import Rebuild
    from eventfold.operations.verify.keys import StoredKey


def count(recorded: Recorded[Added | Closed]) -> Iterator[tuple[str, str, int]]:
    """Count open streams, and what was added by how much it was."""
    if isinstance(recorded.event, Closed):
        yield "all", "open", -1
        return
    yield "all", "open", int(recorded.version == 1)
    yield f"by {recorded.event.amount}", "times", 1


OPEN: Tally[Any] = Tally("open", "counter", COUNTER.codec, count)


def opened(streams: int) -> World:
    """Return a world with so many open streams, and a tally of them."""
    world = World("tally")
    world.target = TallyTarget(OPEN, world.tallies)
    for n in range(streams):
        world.append(str(n), Added(amount=1))
    return world


def lose(world: World, stored: str, row: str, counter: str, amount: int) -> None:
    world.tallies._counts[stored, row, counter] -= amount


class TestRebuild:
    """Streams close in parts that are verified already, and open in parts that are not yet read."""

    def proven(self, world: World, meanwhile: Callable[[], object], lost: int = 0) -> Rebuild:
        rebuild = world.rebuild()
        world.run(rebuild, "fill", rebuild.begin("table", 3))
        lose(world, "open.2", "all", "open", lost)
        work = job(rebuild, rebuild.filled(2), "verify", world.source)
        prover = Prover(world.store, world.runner, rebuild.shown())
        for part in range(3):
            prover.prove(work, part)
            if part == 0:
                meanwhile()
        return rebuild

    @staticmethod
    def in_part(world: World, part: int, ids: Sequence[str]) -> list[str]:
        """Return those of these ids whose streams are in a part."""
        found = {item.stream for page in world.store.scan(part, 3) for item in page.items}
        return [id_ for id_ in ids if f"counter-{id_}" in found]

    @pytest.fixture
    def world(self) -> World:
        return opened(14)

    def move(self, world: World) -> None:
        for id_ in self.in_part(world, 0, [str(n) for n in range(14)])[:3]:
            world.append(id_, Closed())
        for n in range(20, 24):
            world.append(str(n), Added(amount=2))

    def test_a_counter_that_shrinks_is_not_refused_though_it_is_right(self, world: World) -> None:
        rebuild = self.proven(world, lambda: self.move(world))
        assert rebuild.verified(2).unjudged == ()
        assert world.tallies.totals("open.2", ["all"]) == {"all": {"open": 15}}
        assert rebuild.control().generation(2).status == "ready"

    @pytest.mark.parametrize("lost", [-4, -1, 1, 4])
    def test_a_counter_that_shrinks_does_not_pass_though_some_are_lost(self, world: World, lost: int) -> None:
        rebuild = self.proven(world, lambda: self.move(world), lost)
        with pytest.raises(RebuildRefusedError, match=f"counter open of all is {15 - lost}, and by the events"):
            rebuild.verified(2)
        assert rebuild.control().generation(2).status == "verifying"

    def test_a_counter_that_moves_to_the_end_is_said_to_be_unjudged(self, world: World) -> None:
        rebuild = self.proven(world, lambda: None)
        keys, moves = world.keys.keys, iter(range(30, 40))

        def moving(*args: Any, **named: Any) -> Iterator[list[StoredKey]]:
            world.append(str(next(moves)), Added(amount=2))
            yield from keys(*args, **named)

        world.keys.keys = moving  # type: ignore[method-assign] # in its place
        (unjudged, other) = rebuild.verified(2).unjudged
        assert unjudged == "open.2: counter open of all is 16, and by the events 16 to 17"
        assert other == "open.2: counter times of by 2 is 2, and by the events 2 to 3"

    def test_a_stream_that_no_part_has_brought_is_counted_all_the_same(self, world: World) -> None:
        rebuild = self.proven(world, lambda: None)
        progress = world.controls.progress("open.2", "verify", [0])[0]
        name = progress.page_names[0]
        kept = from_page(next(world.controls.pages("open.2", "verify", 0, [name])))
        kept.seen.pop(next(iter(kept.seen)))
        kept.counts["all"]["open"] -= 1
        kept.counts["by 1"]["times"] -= 1
        world.controls.save_page("open.2", "verify", 0, name, next(to_pages(kept)))
        assert rebuild.verified(2).unjudged == ()

    def test_a_recount_that_is_gone_is_refused_and_made_anew(self, world: World) -> None:
        rebuild = self.proven(world, lambda: None)
        for page in list(world.controls._pages):
            if page[2] == 1:
                del world.controls._pages[page]
        with pytest.raises(RebuildRefusedError, match="of part 1 the recount is gone"):
            rebuild.verified(2)
        with pytest.raises(RebuildRefusedError, match="1 of 3 parts are left to verify"):
            rebuild.verified(2)
        world.run(rebuild, "verify", rebuild.control().generation(2))
        rebuild.verified(2)


moves = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["add", "close", "both", "wide", "half", "on"])), max_size=3
)


class Moving:
    """Makes moves at every moment at which a verification lets others go on."""

    def __init__(self, world: World, steps: list[list[tuple[int, str]]]) -> None:
        self._world = world
        self._steps = steps
        self._half: list[Any] = []

    def move(self) -> None:
        for id_, what in self._steps.pop() if self._steps else []:
            stream = f"counter-{id_}"
            match what:
                case "add":
                    self._world.append(str(id_), Added(amount=1))
                case "close":
                    self._world.append(str(id_), Closed())
                case "both":
                    self._world.append(str(id_), Closed(), Added(amount=2), Closed(), Added(amount=3))
                case "wide" | "half":
                    commit = self._world.append(str(id_), *(Added(amount=n) for n in range(7)), Closed(), fed=False)
                    if what == "wide":
                        self._world.feed(commit)
                    else:
                        self.half(stream)
                case _:
                    self._world.runner.redrive(self._world.target, [stream])

    def half(self, stream: str) -> None:
        """Bring a stream on by transaction, and die after the second."""
        add, calls = self._world.tallies.add, iter(range(9))

        def dying(*args: Any, **named: Any) -> None:
            if next(calls) == 2:
                raise StoreUnavailableError("gone")
            add(*args, **named)

        self._world.tallies.add = dying  # type: ignore[method-assign] # in its place
        self._world.runner.redrive(self._world.target, [stream])
        self._world.tallies.add = add  # type: ignore[method-assign] # as it was

    def verify(self) -> CounterCheck:
        """Verify as `verify` does, each read a moment at which others may go on."""
        world, recount = self._world, Recount()
        for n in range(6):
            mark = world.target.read([f"counter-{n}"]).get(f"counter-{n}")
            if mark:
                events = [
                    one
                    for commit in world.store.oldest_first(mark.stream)
                    if commit.last_version <= mark.version
                    for one in COUNTER.codec.recorded(commit)
                ]
                folded = world.target.fold(None, events)
                recount.add(mark.stream, mark.version, world.target.counts(folded) if folded else {})
            self.move()
        check = CounterCheck(world.target, world.store, recount)
        check_counters([check], self._keys)
        return check

    def _keys(self) -> Iterator[list[StoredKey]]:
        self.move()
        for segment in range(3):
            yield from self._world.keys.keys(segment, 3, consistent=True)
            self.move()


@given(st.lists(moves, max_size=20), st.lists(moves, max_size=8), st.sampled_from([0, 0, -4, -1, 1, 4]))
@settings(deadline=None, max_examples=150)
def test_what_is_right_is_never_found_and_what_is_wrong_never_passes(
    before: list[list[tuple[int, str]]], meanwhile: list[list[tuple[int, str]]], lost: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "MAX_ITEMS", 3)
        world = opened(3)
        for steps in before:
            Moving(world, [steps]).move()
        lose(world, "open", "all", "open", lost)
        check = Moving(world, meanwhile).verify()
        if lost:
            found = {one.what.partition(" is ")[0] for one in check.findings}
            unjudged = {one.partition(" is ")[0] for one in check.unjudged}
            assert found <= {"counter open of all"}
            assert found or "open: counter open of all" in unjudged
        else:
            assert check.findings == []
        still = Moving(world, []).verify()  # Half a commit may be in, and is not gone on with: its room is its own.
        for stream in [f"counter-{n}" for n in range(6)]:
            world.runner.redrive(world.target, [stream])
        assert still.findings == [] or lost
        exact = Moving(world, []).verify()
        assert exact.unjudged == []
        assert [one.what.partition(" is ")[0] for one in exact.findings] == ["counter open of all"] * bool(lost)


def test_a_mover_whose_events_can_not_be_replayed_leaves_the_tally_uncounted() -> None:
    world = opened(2)
    check = CounterCheck(world.target, world.store, Recount())
    world.store._streams["counter-1"][1] = Commit("counter-1", 1, ({"type": "Gone", "v": 1, "data": {}},), "x", AT)
    check._rows = {"all"}
    check_counters([check], lambda: world.keys.keys(0, 1))
    what = "can't be recounted: of 1 streams it has seen, events can't be replayed"
    assert check.findings == [Finding("", None, what, "open")]


def test_a_row_that_no_event_makes_is_found() -> None:
    world = opened(2)
    world.tallies._counts["open", "nothing", "n"] = 3
    check = CounterCheck(world.target, world.store, Recount(), ["all", "by 1"])
    check_counters([check], lambda: world.keys.keys(0, 1))
    assert [one.what for one in check.findings] == ["counter n of nothing is 3, and by the events 0"]


def test_counters_that_stand_still_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = opened(3)
    rounds: list[int] = []

    def keys() -> Iterator[list[StoredKey]]:
        rounds.append(1)
        return world.keys.keys(0, 1)

    recount = Recount()
    for n in range(3):
        recount.add(f"counter-{n}", 1, {"all": {"open": 1}, "by 1": {"times": 1}})
    check_counters([CounterCheck(world.target, world.store, recount)], keys)
    assert len(rounds) == 1
    check_counters([CounterCheck(world.target, world.store, Recount())], keys)
    assert len(rounds) == 1  # No counters, nothing to look at.
    assert counters.ROUNDS > 1


def test_counters_that_make_no_sense_are_read_row_by_row() -> None:
    class Broken(TallyTarget[Any]):
        def totals(self, rows: Sequence[str]) -> Any:
            if "bad" in rows:
                raise ValueError
            return {row: {"n": 1} for row in rows}

    assert read_counters(Broken(OPEN, World().tallies), ["a", "bad"]) == Reading({"a": {"n": 1}}, {"bad"})


@given(
    st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=3), st.integers(-9, 9), min_size=1)),
    st.dictionaries(st.text(max_size=5), st.integers(0, 9)),
)
@settings(deadline=None)
def test_a_recount_in_pages_is_the_same_recount(counts: dict[str, dict[str, int]], seen: dict[str, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE_BYTES", 100)
        whole = Recount()
        for page in to_pages(Recount(counts, seen)):
            whole.merge(from_page(page))
    assert whole == Recount(counts, seen)
