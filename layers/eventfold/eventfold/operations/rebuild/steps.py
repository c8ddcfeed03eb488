"""Rebuilding a read model while it is live: begin, fill, verify, promote; roll back; drop.

    begin      a generation more, which the live feed fills from now on
    (wait)     until every process that feeds has read the control item
    fill       what was committed before, by parts (`filling.py`)
    verify     every row against its events, by parts (`proving.py`)
    promote    one conditional write: queries read the new generation, and the other is kept to go back to

Each step can be made again after a crash, and none but the last two changes what queries show.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from eventfold.core.errors import RebuildRefusedError
from eventfold.operations.rebuild.filling import HOLD_SECONDS, Job, summed
from eventfold.operations.rebuild.progress import Phase, Progress, ProgressStore
from eventfold.operations.rebuild.verification import disagreements
from eventfold.read_models.generations import (
    CONTROL_SECONDS,
    SETTLE_SECONDS,
    Control,
    ControlStore,
    Generation,
)
from eventfold.read_models.parking import all_generations
from eventfold.read_models.projections import RowConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold.read_models.parking import Parked, ParkedStore
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.target import AnyTarget

SCAN_SECONDS = CONTROL_SECONDS + 2
"""How long after the beginning a scan begins: every process feeds the generation, and a scan sees what was before."""

_BEFORE = -1
"""The part under which the counters from before the verification are kept."""


class RebuildStore(ControlStore, ProgressStore, Protocol):
    """Where generations and a rebuild's progress are kept."""


@dataclass(frozen=True)
class Timing:
    """The pauses of a rebuild, in seconds: from its beginning to the scan, and from one order of feeding to the next.

    `settle` is waited for between the beginning and the verification, and between two switches.
    """

    scan: float = SCAN_SECONDS
    settle: float = SETTLE_SECONDS


@dataclass(frozen=True)
class Rebuild:
    """The rebuild of one read model. `target` is its first generation's, `owner` names who runs it."""

    target: AnyTarget
    runner: ProjectionRunner
    parked_store: ParkedStore
    store: RebuildStore
    owner: str
    timing: Timing = Timing()
    hold_seconds: float = HOLD_SECONDS
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def name(self) -> str:
        """The read model's name."""
        return self.target.name

    def control(self) -> Control:
        """Return the read model's generations, read now."""
        return self.store.read([self.name])[self.name]

    def at(self, number: int) -> AnyTarget:
        """Return a generation's target."""
        return self.target.at(number)

    def shown(self) -> AnyTarget:
        """Return the active generation's target."""
        return self.at(self.control().active)

    def begin(self, source: str, parts: int, *, as_of: datetime | None = None) -> Generation:
        """Begin a generation, or go on with the one that a rebuild was interrupted at; hold it against others.

        `as_of` is the moment that the source shows, where it is not the event table itself.

        Raises:
            RebuildRefusedError: another rebuild runs, or a generation waits to be promoted, or the source is too old.
        """
        self.hold()
        control = self.control()
        if control.building is None:
            control = self._write(control.begun(source, parts, self.clock()))
        elif control.building.source != source:
            self.store.forget_progress(self._stored(control), range(_BEFORE, control.building.parts))
            changed = control.building.model_copy(update={"source": source, "parts": parts, "status": "filling"})
            others = tuple(one for one in control.generations if one.number != changed.number)
            control = self._write(control.model_copy(update={"generations": (*others, changed)}))
        generation = control.building
        if generation is None:
            raise AssertionError("a generation was begun")
        fed = generation.begun + timedelta(seconds=self.timing.scan)
        if as_of is not None and as_of < fed:
            self.store.release(self.name, self.owner)
            raise RebuildRefusedError(
                f"{source} shows the events of {as_of:%Y-%m-%d %H:%M:%S} UTC; generation {generation.number} of "
                f"{self.name} is fed since {fed:%Y-%m-%d %H:%M:%S}. What was committed in between would be lost to it. "
                "Take a new export now, and run this again with it."
            )
        return generation

    def hold(self) -> None:
        """Keep other rebuilds of this read model out.

        Raises:
            RebuildRefusedError: there is one.
        """
        if seconds := self.store.hold(self.name, self.owner, self.hold_seconds):
            raise RebuildRefusedError(
                f"A rebuild of {self.name} is running: `eventfold projection status {self.name}`. "
                f"If it was killed, try again in {seconds:.0f} s."
            )

    def release(self) -> None:
        """Let others go on with what this one leaves."""
        self.store.release(self.name, self.owner)

    def pause(self, generation: Generation) -> float:
        """Return how many seconds the phase that the generation is in must still wait to begin.

        A verification says nothing of what a process writes afterwards that does not know the generation yet.
        """
        return self._left(generation.begun, self.timing.scan if generation.status == "filling" else self.timing.settle)

    def progress(self, generation: Generation, phase: Phase) -> list[Progress]:
        """Return how far each part is that has begun."""
        stored = self.at(generation.number).name
        return list(self.store.progress(stored, phase, range(generation.parts)).values())

    def filled(self, number: int) -> Generation:
        """Close the filling: redrive what was parked, and note the shared counters. Changes nothing if it is closed.

        Raises:
            RebuildRefusedError: not all parts are filled.
        """
        control = self.control()
        generation = control.generation(number)
        if generation.status != "filling":
            return generation
        filled = self._whole(generation, "fill")
        self.runner.redrive(self.at(number), [one.stream for one in self.parked(number)])
        control = self._write(control.moved(number, "verifying", self.clock()))
        counts = {row: dict(counters) for row, counters in self.at(number).totals(filled.counts).items()}
        stored = self.at(number).name
        self.store.save_progress(stored, "verify", Progress(part=_BEFORE, counts=counts))
        return control.generation(number)

    def verified(self, number: int) -> Progress:
        """Close the verification: the generation is ready to be promoted.

        Raises:
            RebuildRefusedError: not all parts are verified, or a row or counter is not what the events make.
        """
        control = self.control()
        generation = control.generation(number)
        proven = self._whole(generation, "verify")
        stored = self.at(number).name
        before = self.store.progress(stored, "verify", [_BEFORE]).get(_BEFORE, Progress(part=_BEFORE)).counts
        wrong = disagreements(before, proven.counts, self.at(number).totals(proven.counts))
        findings = [*proven.findings, *wrong]
        if proven.wrong or wrong:
            self.store.forget_progress(stored, range(generation.parts))  # The next run verifies again.
            raise RebuildRefusedError(
                f"{self.name}: generation {number} is not what the events make, at {proven.wrong + len(wrong)} places: "
                f"{'; '.join(findings[:5])}. It is not promoted. Run the rebuild again once the cause is gone, "
                f"or drop it: eventfold projection drop {self.name} {number}"
            )
        if generation.status == "verifying":
            self._write(control.moved(number, "ready", self.clock()))
        return proven

    def parked(self, number: int) -> list[Parked]:
        """Return the streams that wait in a generation."""
        names = (self.at(number).name, all_generations(self.name))
        return [one for name in names for one in self.parked_store.listed(name)]

    def settles_in(self) -> float:
        """Return in how many seconds every process works by the last switch, and the next one may come."""
        switched = self.control().switched
        return self._left(switched, self.timing.settle) if switched else 0

    def switch(self, number: int, *, at_once: bool = False) -> Control:
        """Show a generation that is ready or retired: one conditional write.

        `at_once` does not wait for the last switch to settle: a reader may then see a row go back by some events.

        Raises:
            RebuildRefusedError: it is not ready, some of its streams are parked, or the last switch has not settled.
        """
        control = self.control()
        switched = control.promoted(number, self.clock())
        if waiting := self.parked(number):
            stored = self.at(number).name
            raise RebuildRefusedError(
                f"{self.name}: {len(waiting)} streams of generation {number} are parked, the first "
                f"{waiting[0].stream}: {waiting[0].reason}. See `eventfold parked list --projection {stored}`."
            )
        if not at_once and (left := self.settles_in()) > 0:
            raise RebuildRefusedError(f"{self.name} was switched a moment ago. Try again in {left:.0f} s.")
        return self._write(switched, unparked=True)

    def stop_feeding(self, number: int) -> float:
        """Begin to drop a generation; return in how many seconds nobody feeds or reads it any more.

        Raises:
            RebuildRefusedError: it is the active one, or is being built.
        """
        if self.control().building is not None:
            self.hold()
            self.release()
        control = self.control()
        dropped = control.dropped(number, self.clock())
        control = control if dropped == control else self._write(dropped)
        return self._left(control.generation(number).since, self.timing.settle)

    def drop(self, number: int, sweep: Callable[[str], Iterator[int]]) -> Iterator[int]:
        """Delete a generation that is no longer fed; yield how many rows so far. Can be made again after a crash."""
        generation = self.control().generation(number)
        stored = self.at(number).name
        deleted = 0
        for some in sweep(stored):
            deleted += some
            yield deleted
        for one in self.parked_store.listed(stored):
            self.parked_store.release(one)
        self.store.forget_progress(stored, range(_BEFORE, generation.parts))
        self._write(self.control().without(number))

    def _whole(self, generation: Generation, phase: Phase) -> Progress:
        parts = self.progress(generation, phase)
        whole = summed(parts)
        if whole.part < generation.parts:
            raise RebuildRefusedError(
                f"{self.name}: {generation.parts - whole.part} of {generation.parts} parts are left to {phase}. "
                "Run the rebuild again: it goes on from there."
            )
        return whole

    def _stored(self, control: Control) -> str:
        if control.building is None:
            raise AssertionError("asked for a generation that is being built")
        return self.at(control.building.number).name

    def _left(self, since: datetime, seconds: float) -> float:
        return max(0.0, seconds - (self.clock() - since).total_seconds())

    def _write(self, control: Control, *, unparked: bool = False) -> Control:
        try:
            return self.store.write(control, unparked=unparked)
        except RowConflictError as error:
            raise RebuildRefusedError(f"{error}: somebody else works on it. Look, then try again.") from error


def job(rebuild: Rebuild, generation: Generation, phase: Phase, **more: Any) -> Job:
    """Return one phase of a generation's rebuild, for its workers."""
    return Job(
        projection=rebuild.name,
        target=rebuild.at(generation.number),
        phase=phase,
        owner=rebuild.owner,
        hold_seconds=rebuild.hold_seconds,
        **more,
    )
