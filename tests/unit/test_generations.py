"""Generations: which statuses lead to which, the order they are fed in, and how queries find the active one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventfold.core.errors import RebuildRefusedError
from eventfold.memory import MemoryControlStore, MemoryRowStore
from eventfold.read_models.generations import Control, control_key
from eventfold.read_models.live import ActiveReader, Generations
from eventfold.read_models.projections import Projection, RowTarget
from eventfold.read_models.tallies import Tally
from eventfold.read_models.target import GenerationName, OrderChangedError
from tests.domain import COUNTER, TOTALS, Total, project

AT = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = Control.first("totals")


def ready(control: Control = FIRST) -> Control:
    """Return the control item with one more generation, ready to be promoted."""
    begun = control.begun("table", 4, AT)
    return begun.moved(begun.newest, "ready", AT)


def statuses(control: Control) -> dict[int, str]:
    return {one.number: one.status for one in control.generations}


def test_a_generation_is_built_promoted_gone_back_from_and_dropped() -> None:
    built = ready()
    assert (built.active, statuses(built)) == (1, {1: "active", 2: "ready"})
    promoted = built.promoted(built.candidate("ready"), AT)
    assert (promoted.active, statuses(promoted)) == (2, {1: "retired", 2: "active"})
    back = promoted.promoted(promoted.candidate("retired"), AT)
    assert (back.active, statuses(back)) == (1, {1: "active", 2: "retired"})
    dropping = back.dropped(2, AT)
    assert [one.number for one in dropping.live] == [1]
    assert statuses(dropping.without(2)) == {1: "active"}


def test_a_number_is_never_given_twice() -> None:
    assert ready(FIRST.begun("table", 4, AT).dropped(2, AT).without(2)).newest == 3


def test_the_active_generation_is_fed_last() -> None:
    built = ready()
    assert [one.number for one in built.live] == [2, 1]
    assert [one.number for one in built.promoted(2, AT).live] == [1, 2]
    assert [one.number for one in ready(built.promoted(2, AT)).live] == [1, 3, 2]


def test_one_goes_back_to_the_generation_that_was_active_last() -> None:
    third = ready(ready().promoted(2, AT)).promoted(3, AT + timedelta(days=1))
    assert third.candidate("retired") == 2


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: ready().begun("table", 4, AT), "already has generation 2, which is ready"),
        (lambda: FIRST.begun("table", 4, AT).promoted(2, AT), "generation 2 is filling, not ready"),
        (lambda: FIRST.promoted(1, AT), "generation 1 is active already"),
        (lambda: FIRST.promoted(7, AT), "has no generation 7; it has: 1"),
        (lambda: FIRST.candidate("ready"), "no generation ready to be promoted"),
        (lambda: FIRST.candidate("retired"), "no generation to go back to"),
        (lambda: FIRST.dropped(1, AT), "is the active one. Promote another first"),
    ],
)
def test_what_makes_no_sense_is_refused(refused: object, message: str) -> None:
    assert callable(refused)
    with pytest.raises(RebuildRefusedError, match=message):
        refused()


@pytest.mark.parametrize("name", ["", "a.2", "a#", "a@b", "a!"])
def test_a_name_that_would_be_taken_for_another_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="read model's name"):
        Projection(name, "counter", COUNTER.codec, Total, project)
    with pytest.raises(ValueError, match="read model's name"):
        Tally(name, "counter", COUNTER.codec, lambda _: [])


def test_no_row_and_no_generation_has_a_control_item_s_key() -> None:
    assert control_key("totals") == "totals!"
    assert not {"#", "@"} & set(control_key("totals"))


def test_a_generation_s_name_is_read_back_from_what_it_is_stored_under() -> None:
    names = {
        GenerationName("totals", number): stored
        for number, stored in ((1, "totals"), (2, "totals.2"), (30, "totals.30"))
    }
    assert [str(name) for name in names] == list(names.values())
    assert [GenerationName.parse(stored) for stored in names.values()] == list(names)


@pytest.mark.parametrize(
    "slip", ["totals.1", "totals.0", "totals.02", "totals.x", "totals.2.3", ".2", "totals.", "totals.²"]
)
def test_what_is_no_stored_name_is_taken_for_an_unknown_read_model(slip: str) -> None:
    assert GenerationName.parse(slip) == GenerationName(slip)


def test_control_items_are_read_once_for_as_long_as_they_are_kept() -> None:
    class Counted(MemoryControlStore):
        reads = 0

        def read(self, projections: object) -> dict[str, Control]:
            self.reads += 1
            return super().read(["totals"])

    now = [0.0]
    store = Counted()
    generations = Generations(store, ["totals"], keep=5, clocks=[lambda: now[0]])
    target = RowTarget(TOTALS, MemoryRowStore())
    (only,) = generations.live([target])
    assert [one.name for one in only.targets] == ["totals"]
    store.write(FIRST.begun("table", 4, AT))
    now[0] = 4.9
    assert generations.live([target])[0].active.name == "totals"
    generations.confirm(only)
    now[0] = 5
    with pytest.raises(OrderChangedError):
        generations.confirm(only)
    (both,) = generations.live([target])
    assert [one.name for one in both.targets] == ["totals.2", "totals"]
    assert (both.active.name, both.read_model) == ("totals", "totals")
    generations.confirm(both)
    assert store.reads == 2
    assert generations.shown("totals") == "totals"
    now[0] = 6
    assert generations.shown("totals") == "totals"
    assert store.reads == 3
    generations.live([target], max_age=0)
    assert store.reads == 4


@pytest.mark.parametrize(("monotonic", "wall"), [(5, 0), (0, 3600), (0, -1)], ids=["older", "frozen", "set back"])
def test_control_items_are_too_old_by_whichever_clock_says_so(monotonic: float, wall: float) -> None:
    """A process that was frozen for an hour may find its monotonic clock where it left it."""
    now = [0.0, 1e9]
    generations = Generations(store := MemoryControlStore(), ["totals"], clocks=[lambda: now[0], lambda: now[1]])
    target = RowTarget(TOTALS, MemoryRowStore())
    generations.live([target])
    store.write(FIRST.begun("table", 4, AT))
    assert len(generations.live([target])[0].targets) == 1
    now[:] = [now[0] + monotonic, now[1] + wall]
    assert len(generations.live([target])[0].targets) == 2


def test_a_reader_reads_twice_once_after_a_switch() -> None:
    reads: list[str] = []
    active = 1

    def read(stored: str) -> tuple[int, str]:
        reads.append(stored)
        return active, f"from {stored}"

    reader = ActiveReader()
    assert reader.read("totals", read) == "from totals"
    active = 2
    assert reader.read("totals", read) == "from totals.2"
    assert reader.read("totals", read) == "from totals.2"
    assert reads == ["totals", "totals", "totals.2", "totals.2"]
