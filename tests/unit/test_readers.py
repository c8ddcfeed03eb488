"""No reader sees a read model go back, and nothing gets lost, while it is rebuilt, promoted and rolled back.

Processes that feed, a redrive, a rebuild and a reader take turns by seed, in a time of their own. Each request takes up
to `CALL_SECONDS`, may fail, and may fail after it was carried out.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest

from eventfold import Commit, Head
from eventfold.aggregates.history import read_events
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.dynamodb.client import CALL_SECONDS
from eventfold.memory import (
    MemoryControlStore,
    MemoryEventStore,
    MemoryKeyListing,
    MemoryParkedStore,
)
from eventfold.operations.reading import TableSource
from eventfold.operations.rebuild import filling
from eventfold.operations.rebuild.filling import Filler
from eventfold.operations.rebuild.steps import Rebuild, Timing, job
from eventfold.operations.rebuild.verification import Prover
from eventfold.read_models import tallies
from eventfold.read_models.feed import Feed
from eventfold.read_models.live import Generations
from eventfold.read_models.projections import Row, RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Tally, TallyTarget
from eventfold.testing.turns import Turns
from tests.domain import COUNTER, TOTALS, Added
from tests.stale import StaleRowStore, StaleTallyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventfold import Recorded
    from eventfold.operations.verify.keys import StoredKey
    from eventfold.read_models.generations import Generation
    from eventfold.read_models.target import AnyTarget

AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAMS = ("counter-1", "counter-2")
INVOCATION_SECONDS = 40
"""After which requests are quick: an invocation is over within 60."""


class WentBackError(AssertionError):
    pass


class Inline:
    """Works at once, in the thread that asks: what takes turns are processes, not their threads."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args))
        except Exception as failure:  # noqa: BLE001 - as an executor does
            done.set_exception(failure)
        return done


class Far:
    """A store at the end of a network."""

    def __init__(self, world: World, store: Any, faults: float) -> None:
        self._world = world
        self._store = store
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **named: self._world.request(self._faults, getattr(self._store, name), *args, **named)


def count(recorded: Recorded[Any]) -> Iterator[tuple[str, str, int]]:
    """Count all, what also shrinks, and in more rows than one transaction takes here."""
    yield "all", "events", 1
    yield "all", "open", 1 if recorded.version % 2 else -1
    yield f"by {recorded.version % 2}", "events", 1
    yield f"of {recorded.stream}", "events", 1


TALLY: Tally[Any] = Tally("totals", "counter", COUNTER.codec, count)
ROWS = ["all", "by 0", "by 1", *(f"of {stream}" for stream in STREAMS)]


class World:
    def __init__(self, seed: int, timing: Timing, kind: str) -> None:
        self.kind = kind
        self.turns = Turns(seed)
        self.dice = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self.timing = timing
        self.calm = False
        self.store = MemoryEventStore()
        self.controls = MemoryControlStore(clock=lambda: self.turns.now)
        self.rows = StaleRowStore(self.controls)
        self.tallies = StaleTallyStore(self.controls)
        self.parked = MemoryParkedStore()
        self.records: list[Commit] = []
        self.writing = self.rebuilding = True
        self.switched: list[int] = []
        self.begun: dict[str, float] = {}

    def request(self, faults: float, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Carry a request out some time within `CALL_SECONDS`, unless it fails."""
        worker = threading.current_thread().name
        late = self.turns.now - self.begun.get(worker, self.turns.now) > INVOCATION_SECONDS
        slow = 0 if self.calm or late else self.dice.choice((0, 0, 0.1, CALL_SECONDS / 2))
        self.turns.take(slow)
        fault = not self.calm and self.dice.random() < faults
        if fault and self.dice.random() < 0.5:
            raise StoreUnavailableError("ThrottlingException")
        answer = call(*args, **named)
        if not isinstance(answer, dict | Row | None):
            answer = list(answer) if hasattr(answer, "__next__") else answer
        self.turns.take(slow)
        if fault:
            raise StoreUnavailableError("its answer was lost")
        return answer

    def process(self) -> tuple[Feed, ProjectionRunner, AnyTarget]:
        """Return what a process of its own has."""
        parked: Any = Far(self, self.parked, 0.02)
        store: Any = Far(self, self.store, 0.02)
        runner = ProjectionRunner(store, parked, writers=1)
        runner._pool = Inline()  # type: ignore[assignment]
        rows: Any = Far(self, self.rows if self.kind == "rows" else self.tallies, 0.1)
        target: AnyTarget = RowTarget(TOTALS, rows) if self.kind == "rows" else TallyTarget(TALLY, rows)
        controls: Any = Far(self, self.controls, 0.05)
        generations = Generations(controls, [TOTALS.name], clocks=[lambda: self.turns.now])
        late = (datetime.fromtimestamp(0, UTC), datetime.max.replace(tzinfo=UTC))
        return Feed([target], runner, parked, generations, clock=lambda: self.dice.choice(late)), runner, target

    def write(self) -> None:
        for _ in range(40):
            stream = self.dice.choice(STREAMS)
            version = sum(1 for _ in self.store.oldest_first(stream))
            commit = Commit(stream, version + 1, (COUNTER.codec.encode(Added(amount=1)),), f"{version}", AT)
            self.store.append(commit, after=Head(stream, version))
            self.records.append(commit)
            self.turns.take(self.dice.uniform(0, 10))
        self.writing = False

    def feed(self) -> None:
        """Work on batches as they come, in any order, some twice, some late."""
        feed, *_ = self.process()
        while self.writing or self.rebuilding or self.records:
            size = min(len(self.records), self.dice.randint(0, 3))
            batch = [self.records.pop(self.dice.randrange(len(self.records))) for _ in range(size)]
            while batch:  # What failed comes again before anything else.
                self.begun[threading.current_thread().name] = self.turns.now
                failed = feed.project(batch)
                batch = [one for one in batch if one.stream in failed or self.dice.random() < 0.1]
                self.turns.take(self.dice.uniform(0, 1))
            self.turns.take(self.dice.uniform(0, 5))

    def redrive(self) -> None:
        feed, *_ = self.process()
        while self.writing or self.rebuilding or self.records:
            self.turns.take(self.dice.uniform(0, 20))
            with suppress(StoreUnavailableError):
                feed.redrive()

    def read(self) -> None:
        seen: dict[str, int] = {}
        while self.writing or self.rebuilding:
            for what, now in self.shown().items():
                if now < seen.get(what, 0):
                    raise WentBackError(f"{what}: {now} after {seen[what]}, at {self.turns.now:.1f} s")
                seen[what] = now
            self.turns.take()

    def shown(self) -> dict[str, int]:
        """Return what a reader sees, of that which only grows."""
        if self.kind == "rows":
            return {stream: row.version for stream, row in self.rows.get_active(TOTALS.name, STREAMS).items()}
        return {row: counters["events"] for row, counters in self.tallies.totals_active(TALLY.name, ROWS).items()}

    def keys(self, *_: Any, **__: Any) -> Iterator[Sequence[StoredKey]]:
        """List what there is in pages, between which others go on."""
        listing = MemoryKeyListing(self.rows, self.tallies)
        for segment in range(4):
            self.turns.take(self.dice.choice((0, 0.1, 5)))
            yield from listing.keys(segment, 4)

    def rebuild(self) -> None:
        """Rebuild twice; each time promote, and go back and forth between all generations."""
        _, runner, target = self.process()
        parked: Any = Far(self, self.parked, 0)
        keys: Any = self
        rebuild = Rebuild(target, runner, self.store, keys, parked, self.controls, "me", self.timing, clock=self._clock)
        for number in (2, 3):
            self.turns.take(self.dice.uniform(0, 60))
            self._build(rebuild, runner, number)
            for other in (number, number - 1, self.dice.choice((number, 1))):
                if rebuild.control().active != other:
                    self._switch(rebuild, other)
        self.rebuilding = False

    def _clock(self) -> datetime:
        return AT + timedelta(seconds=self.turns.now)

    def _build(self, rebuild: Rebuild, runner: ProjectionRunner, number: int) -> None:
        source = TableSource(self.store, 1)
        generation = self._begin(rebuild)
        while generation.status != "ready":
            self.turns.take(rebuild.pause(generation))
            try:
                if generation.status == "filling":
                    Filler(runner).fill(job(rebuild, generation, "fill", source), 0)
                    generation = rebuild.filled(number)
                else:
                    work = job(rebuild, generation, "verify", source)
                    Prover(self.store, runner, rebuild.shown()).prove(work, 0)
                    rebuild.verified(number)
                    generation = rebuild.control().generation(number)
            except (StoreUnavailableError, RebuildRefusedError) as refused:
                if "is not what the events make" in str(refused):
                    raise AssertionError from refused
                self.turns.take(1)

    def _begin(self, rebuild: Rebuild) -> Generation:
        """Begin, and again while the store is out of reach, as the state machine does."""
        while True:
            with suppress(StoreUnavailableError):
                return rebuild.begin("table", 1)
            self.turns.take(1)

    def _switch(self, rebuild: Rebuild, number: int) -> None:
        while True:
            self.turns.take(self.dice.choice((0, 3, 20)) + rebuild.settles_in())
            with suppress(RebuildRefusedError, StoreUnavailableError):
                rebuild.switch(number)
                self.switched.append(number)
                return

    def run(self) -> None:
        workers = {"write": self.write, "rebuild": self.rebuild, "read": self.read, "redrive": self.redrive}
        workers |= {f"feed {n}": self.feed for n in range(3)}
        with pytest.MonkeyPatch.context() as patch, self.turns.instead_of_time():
            patch.setattr(filling, "ThreadPoolExecutor", Inline)
            patch.setattr(tallies, "MAX_ITEMS", 4)
            self.turns.run(workers, seconds=20_000)
        self.calm = True
        feed, *_ = self.process()
        for _ in range(3):
            feed.redrive()
        assert list(self.parked.listed()) == []
        for stream in STREAMS:
            end = sum(1 for _ in self.store.oldest_first(stream))
            for number in (1, 2, 3):
                assert self.process()[2].at(number).read([stream])[stream].version == end
        if self.kind == "tally":
            events = [one for stream in STREAMS for one in read_events(self.store, COUNTER.codec, stream)]
            for number in (1, 2, 3):
                assert self.process()[2].at(number).totals(ROWS) == TALLY.counts(events)


@pytest.mark.parametrize(
    ("kind", "seed"), [("rows", seed) for seed in range(20)] + [("tally", seed) for seed in range(6)]
)
def test_no_reader_goes_back_and_nothing_is_lost(kind: str, seed: int) -> None:
    world = World(seed, Timing(), kind)
    world.run()
    assert len(world.switched) >= 4
