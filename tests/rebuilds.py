"""One event table, one read model and its live feed in memory: for tests of rebuilds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from eventfold import Commit, Head
from eventfold.memory import (
    MemoryControlStore,
    MemoryEventStore,
    MemoryKeyListing,
    MemoryParkedStore,
    MemoryRowStore,
    MemoryTallyStore,
)
from eventfold.operations.reading import TableSource
from eventfold.operations.rebuild.filling import Filler
from eventfold.operations.rebuild.steps import Rebuild, Timing, job
from eventfold.operations.rebuild.verification import Prover
from eventfold.read_models.feed import Feed
from eventfold.read_models.live import Generations
from eventfold.read_models.projections import Row, RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Tally, TallyTarget
from tests.domain import COUNTER, TOTALS, Added, Closed

if TYPE_CHECKING:
    from eventfold.operations.rebuild.progress import Phase
    from eventfold.read_models.generations import Generation
    from eventfold.read_models.target import AnyTarget

AT = datetime(2026, 1, 1, tzinfo=UTC)
AT_ONCE = Timing(0, 0, 0)
ADDED: Tally[Added | Closed] = Tally("added", "counter", COUNTER.codec, lambda one: [("all", "events", 1)])


class World:
    """One event table, one read model, and the live feed."""

    def __init__(self, kind: str = "rows", store: MemoryEventStore | None = None) -> None:
        self.store = store or MemoryEventStore()
        self.controls = MemoryControlStore()
        self.rows = MemoryRowStore(self.controls)
        self.tallies = MemoryTallyStore(self.controls)
        self.parked = MemoryParkedStore()
        self.keys = MemoryKeyListing(self.rows, self.tallies)
        self.runner = ProjectionRunner(self.store, self.parked)
        rows = RowTarget(TOTALS, self.rows)
        self.target: AnyTarget = rows if kind == "rows" else TallyTarget(ADDED, self.tallies)
        self.source = TableSource(self.store, 3)

    def append(self, id_: str, *events: Added | Closed, fed: bool = True) -> Commit:
        """Append one commit; let the live feed see it unless told."""
        head = max(
            (one.head for one in self.store.oldest_first(f"counter-{id_}")), key=lambda one: one.version, default=None
        )
        version = head.version if head else 0
        stored = tuple(COUNTER.codec.encode(event) for event in events)
        commit = Commit(f"counter-{id_}", version + 1, stored, f"{id_}/{version}", AT)
        self.store.append(commit, after=Head(commit.stream, version))
        if fed:
            self.feed(commit)
        return commit

    def feed(self, commit: Commit) -> None:
        """Bring every generation up to date, as the projection function does."""
        generations = Generations(self.controls, [self.target.name])
        Feed([self.target], self.runner, self.parked, generations).project([commit])

    def rebuild(self, owner: str = "me", timing: Timing = AT_ONCE) -> Rebuild:
        return Rebuild(self.target, self.runner, self.store, self.keys, self.parked, self.controls, owner, timing)

    def run(self, rebuild: Rebuild, phase: Phase, generation: Generation, **more: Any) -> list[Any]:
        """Work on every part of a phase."""
        work = job(rebuild, generation, phase, self.source, **more)
        if phase == "fill":
            return [Filler(self.runner, writers=2).fill(work, part) for part in range(generation.parts)]
        return [Prover(self.store, self.runner, rebuild.shown()).prove(work, part) for part in range(generation.parts)]

    def ready(self) -> Rebuild:
        """Build a generation up to where it can be promoted."""
        rebuild = self.rebuild()
        generation = rebuild.begin("table", self.source.parts)
        self.run(rebuild, "fill", generation)
        self.run(rebuild, "verify", rebuild.filled(generation.number))
        rebuild.verified(generation.number)
        rebuild.release()
        return rebuild

    def stored(self, name: str) -> dict[str, Row]:
        return {stream: row for (stored, stream), row in self.rows._rows.items() if stored == name}
