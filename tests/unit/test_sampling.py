"""A generation is laid out by some of its streams, before anybody knows of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.rebuild.sampling import sampled
from eventfold.operations.rebuild.steps import Timing
from tests.domain import Added
from tests.rebuilds import AT, World

if TYPE_CHECKING:
    from eventfold.operations.scanning import Place, ScanPage


class Watched(World):
    """Notes what is laid out, how much of the sample was read, and which generations there were by then."""

    def __init__(self, kind: str = "rows", *, streams: int = 9) -> None:
        super().__init__(kind)
        for n in range(streams):
            self.append(str(n), Added(amount=n), fed=False)
        self.laid_out: list[tuple[str, list[str], int]] = []
        self.read = 0
        self.rows.lay_out = self.lay_out  # type: ignore[method-assign]

    def lay_out(self, projection: str, sorts: Iterable[str]) -> None:
        newest = self.controls.read([self.target.name])[self.target.name].newest
        self.laid_out.append((projection, list(islice(sorts, 5)), newest))

    def sample(self) -> Iterator[Any]:
        for one in sampled(self.target, self.source):
            self.read += 1
            yield one


def test_a_generation_is_laid_out_by_its_streams_before_it_is_known() -> None:
    world = Watched()
    generation = world.rebuild().begin("table", 3, sample=world.sample())
    ((stored, sorts, newest),) = world.laid_out
    assert (stored, newest, generation.number) == ("totals.2", 1, 2)
    assert len(set(sorts)) == 5
    assert set(sorts) <= {f"{n:09}\0counter-{n}" for n in range(9)}
    assert world.read == 5, "no more is read than is asked for"


def test_one_that_goes_on_stays_as_it_is_laid_out_and_a_refused_one_is_not() -> None:
    world = Watched()
    world.rebuild("me").begin("table", 3, sample=world.sample())
    world.rebuild("me").begin("table", 3, sample=world.sample())
    world.rebuild("me").begin("export", 4, sample=world.sample())
    world.rebuild("me").release()
    other = Watched()
    rebuild = other.ready()
    with pytest.raises(RebuildRefusedError, match="already has generation 2"):
        rebuild.begin("table", 3, sample=other.sample())
    assert [len(one.laid_out) for one in (world, other)] == [1, 1]
    assert other.read == 0


def test_the_wait_for_the_feed_begins_behind_the_sample() -> None:
    world, now = Watched(), [AT]
    rebuild = world.rebuild(timing=Timing())
    object.__setattr__(rebuild, "clock", lambda: now[0])

    def sample() -> Iterator[Any]:
        now[0] += timedelta(minutes=1)
        yield from world.sample()

    assert rebuild.begin("table", 3, sample=sample()).begun == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_counters_are_not_laid_out() -> None:
    world = Watched("tally")
    world.rebuild().begin("table", 3, sample=world.sample())
    assert (world.laid_out, world.read) == ([], 0)


def test_a_stream_that_can_t_be_folded_is_left_out_and_a_store_out_of_reach_is_not() -> None:
    world = Watched(streams=3)
    world.append("broken", Added(amount=1), fed=False)
    world.store._streams["counter-broken"][1.0].events[0]["type"] = "Unheard"  # type: ignore[union-attr]
    found: Iterator[Any] = sampled(world.target, world.source)
    assert {one.stream for one in found} == {"counter-0", "counter-1", "counter-2"}

    def out_of_reach(segment: int, segments: int, *, after: Place | None = None) -> Iterator[ScanPage]:
        raise StoreUnavailableError("ThrottlingException")

    world.store.scan = out_of_reach  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: None)
        with pytest.raises(StoreUnavailableError):
            next(sampled(world.target, world.source))
