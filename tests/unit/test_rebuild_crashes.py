"""A rebuild that dies at each of its writes, before it and after it, and whose answers get lost: it goes on, and is right.

What is wrong is never promoted, wherever the process dies.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import pytest

from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.rebuild import filling, pages
from eventfold.read_models.target import GenerationName
from eventfold.testing.faults import CrashError
from tests.domain import Added, Closed
from tests.rebuilds import World

if TYPE_CHECKING:
    from collections.abc import Callable

type Kind = Literal["rows", "tally"]
type How = Literal["dies before", "dies after", "answer lost", "out of reach"]

HOWS: tuple[How, ...] = ("dies before", "dies after", "answer lost", "out of reach")
WRITES = {
    "controls": ("write", "save_progress", "save_page", "forget_progress", "hold", "release"),
    "rows": ("put",),
    "tallies": ("add",),
    "parked": ("park", "release"),
}


class Mortal:
    """Counts a world's writes, and lets one of them meet a fault. A process that is dead writes nothing more."""

    def __init__(self, world: World, number: int, how: How) -> None:
        self.writes = 0
        self.dead = False
        self._number = number
        self._how = how
        for store, names in WRITES.items():
            for name in names:
                write = getattr(getattr(world, store), name)
                setattr(getattr(world, store), name, self._watched(write))

    def _watched(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **named: Any) -> Any:
            if self.dead:
                raise CrashError
            self.writes += 1
            met = self.writes == self._number
            if met and self._how == "out of reach":
                raise StoreUnavailableError(self._how)
            done = None if met and self._how == "dies before" else write(*args, **named)
            if met and self._how == "answer lost":
                raise StoreUnavailableError(self._how)
            if met:
                self.dead = True
                raise CrashError
            return done

        return watched


@pytest.fixture(autouse=True)
def _every_stream_is_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(pages, "PAGE_BYTES", 60)
    monkeypatch.setattr("time.sleep", lambda _: None)


class Time:
    now = 0.0


def world_of(kind: Kind) -> World:
    """Return five streams fed to the first generation, and a stack whose holds run out by `time`."""
    world = World(kind)
    world.time = Time()  # type: ignore[attr-defined] # beside it
    world.controls._clock = lambda: world.time.now  # type: ignore[attr-defined]
    for n in range(5):
        world.append(str(n), Added(amount=n), Added(amount=1))
        world.append(str(n), Closed() if n == 2 else Added(amount=2))
    return world


def rebuild(world: World, owner: str, repeat: Callable[[Callable[[], Any]], Any]) -> None:
    """Run a rebuild as the command line and the state machine do, each step by `repeat`."""
    run = world.rebuild(owner)
    begun = repeat(lambda: run.begin("table", world.source.parts))
    if begun.status == "filling":
        repeat(lambda: world.run(run, "fill", begun))
    filled = repeat(lambda: run.filled(begun.number))
    repeat(lambda: world.run(run, "verify", filled))
    repeat(lambda: run.verified(begun.number))
    assert repeat(lambda: run.promote(begun.number)) == 0
    repeat(run.release)


def patiently(step: Callable[[], Any]) -> Any:
    """Make a step again where the store is out of reach, as the state machine does."""
    try:
        return step()
    except StoreUnavailableError:
        return step()


def to_the_end(world: World, mortal: Mortal) -> None:
    """Run the rebuild, and again as somebody else if it dies: what it held has run out by then."""
    try:
        rebuild(world, "first", patiently)
    except CrashError:
        mortal.dead = False
        world.time.now += 1_000  # type: ignore[attr-defined]
        go_on(world)


def go_on(world: World) -> None:
    """Do what is left to do, as whoever looks would."""
    control = world.rebuild().control()
    if control.generation(control.newest).status == "ready":
        world.rebuild().promote(control.newest)
    elif control.active == 1:
        rebuild(world, "second", patiently)


def number_of_writes(kind: Kind) -> int:
    world = world_of(kind)
    counted = Mortal(world, 0, "dies before")
    rebuild(world, "first", patiently)
    return counted.writes


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", ["rows", "tally"])
def test_a_rebuild_that_meets_a_fault_at_any_write_ends_right(kind: Kind, how: How) -> None:
    writes = number_of_writes(kind)
    assert writes > 40
    for number in range(1, writes + 1):
        world = world_of(kind)
        mortal = Mortal(world, number, how)
        to_the_end(world, mortal)
        assert mortal.writes >= number
        control = world.rebuild().control()
        assert (control.active, control.newest) == (2, 2)
        world.append("1", Added(amount=4))
        assert world.stored("totals.2") == world.stored("totals")
        assert world.tallies.totals("added.2", ["all"]) == world.tallies.totals("added", ["all"])
        assert list(world.parked.listed()) == []


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", ["rows", "tally"])
def test_what_is_wrong_is_not_promoted_wherever_the_process_dies(kind: Kind, how: How) -> None:
    for number in range(1, number_of_writes(kind) + 1):
        world = world_of(kind)
        spoil(world)
        mortal = Mortal(world, number, how)
        with pytest.raises(RebuildRefusedError, match=r"is not what the events make, at [12] places"):
            to_the_end(world, mortal)
        assert world.rebuild().control().active == 1


def spoil(world: World) -> None:
    """Let one stream's write to the new generation do what it should not."""
    put, add = world.rows.put, world.tallies.add

    def wrong_row(projection: str, row: Any, *, replaces: int) -> None:
        wrong = projection == "totals.2" and row.stream == "counter-3"
        put(
            projection,
            type(row)(row.stream, row.version, '{"total":99}', row.sort) if wrong else row,
            replaces=replaces,
        )

    def wrong_count(tally: str, counts: Any, moved: Any) -> None:
        wrong = tally == "added.2" and "counter-3" in {one.stream for one in moved}
        add(tally, {"all": {"events": 2}} if wrong else counts, moved)

    world.rows.put = wrong_row  # type: ignore[method-assign] # in its place
    world.tallies.add = wrong_count  # type: ignore[method-assign] # in its place


def test_two_at_once_do_not_spoil_each_other() -> None:
    """A worker that was silent for too long goes on beside the one that has taken over, at each of its writes."""
    for number in range(1, number_of_writes("tally") + 1):
        world = world_of("tally")
        asleep = Asleep(world, number)
        with suppress(RebuildRefusedError):
            rebuild(world, "first", patiently)
        assert asleep.woke
        control = world.rebuild().control()  # The first may have slept before it began: then it has built another.
        assert control.active == control.newest
        for name in {"added", "added.2", str(GenerationName("added", control.newest))}:
            assert world.tallies.totals(name, ["all"]) == {"all": {"events": 15}}


class Asleep:
    """Falls asleep before one of the first worker's writes, until another has run the whole rebuild."""

    def __init__(self, world: World, number: int) -> None:
        self.woke = False
        self._number = number
        self._writes = 0
        self._world = world
        for store, names in WRITES.items():
            for name in names:
                write = getattr(getattr(world, store), name)
                setattr(getattr(world, store), name, self._watched(write))

    def _watched(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **named: Any) -> Any:
            self._writes += 1
            if self._writes == self._number:
                self.woke = True
                self._world.time.now += 1_000  # type: ignore[attr-defined]
                go_on(self._world)
            return write(*args, **named)

        return watched
