"""Rebuilding a read model while it is live: begin, fill, verify, promote; roll back; drop.

    begin      a generation more, which the live feed fills from now on
    (wait)     until every process that feeds has read the control item
    fill       what was committed before, by parts (`filling.py`)
    verify     every row against its events, by parts (`verification.py`)
    promote    one conditional write: queries read the new generation, and the other is kept to go back to

Each step can be made again after a crash, and none but the last two changes what queries show.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.rebuild.filling import HOLD_SECONDS, Job, summed
from eventfold.operations.rebuild.pages import from_page
from eventfold.operations.verify.counters import CounterCheck, Recount, check_counters
from eventfold.read_models.generations import CONTROL_SECONDS, ORDER_SECONDS, SETTLE_SECONDS, Control, Generation
from eventfold.read_models.parking import all_generations
from eventfold.read_models.projections import RowConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from eventfold.core.store import EventStore
    from eventfold.operations.reading import Source
    from eventfold.operations.rebuild.filling import RebuildStore
    from eventfold.operations.rebuild.progress import Phase, Progress
    from eventfold.operations.verify.keys import KeyListing, StoredKey
    from eventfold.read_models.parking import Parked, ParkedStore
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.target import AnyTarget, Mark

SCAN_SECONDS = CONTROL_SECONDS + 2
"""How long after the beginning a scan begins: every process feeds the generation, and a scan sees what was before."""

_ATTEMPTS = 5


@dataclass(frozen=True)
class Timing:
    """The pauses of a rebuild, in seconds: from its beginning to scan and verification, and between two switches."""

    scan: float = SCAN_SECONDS
    verify: float = ORDER_SECONDS
    settle: float = SETTLE_SECONDS


@dataclass(frozen=True)
class Rebuild:
    """The rebuild of one read model. `target` is its first generation's, `owner` names who runs it.

    `events` is the event store, and `keys` lists what the read models have.
    """

    target: AnyTarget
    runner: ProjectionRunner
    events: EventStore
    keys: KeyListing
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

    def begin(
        self, source: str, parts: int, *, as_of: datetime | None = None, sample: Iterable[Mark] = ()
    ) -> Generation:
        """Begin a generation, or go on with the one that a rebuild was interrupted at; hold it against others.

        `as_of` is the moment that the source shows, where it is not the event table itself; `sample` is some of what
        the generation will be made of, to lay it out by.

        Raises:
            RebuildRefusedError: another rebuild runs, or a generation waits to be promoted, or the source is too old.
        """
        self.hold()
        try:
            return self._begun(source, parts, as_of, sample)
        except RebuildRefusedError:
            self.release()
            raise

    def _begun(self, source: str, parts: int, as_of: datetime | None, sample: Iterable[Mark]) -> Generation:
        control = self.control()
        if control.building is None:
            # Before anybody feeds it: where its rows go hangs on this.
            self.at(control.begun(source, parts, self.clock()).newest).lay_out(sample)
        elif control.building.source != source:
            self.store.forget_progress(self.at(control.building.number).name, range(control.building.parts))
        control = self._change(lambda control: control.begun(source, parts, self.clock()))
        generation = control.generation(control.newest)
        fed = generation.begun + timedelta(seconds=self.timing.scan)
        if as_of is not None and as_of < fed:
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

    def release(self, reason: str = "") -> None:
        """Let others go on with what this one leaves; `reason` says why it has failed, and stops its other workers.

        A hold that can't be given back runs out by itself.
        """
        with suppress(StoreUnavailableError):
            self.store.release(self.name, self.owner, reason)

    def pause(self, generation: Generation) -> float:
        """Return how many seconds the phase that the generation is in must still wait to begin.

        A verification says nothing of what a process writes afterwards that does not know the generation yet.
        """
        return self._left(generation.begun, self.timing.scan if generation.status == "filling" else self.timing.verify)

    def progress(self, generation: Generation, phase: Phase) -> list[Progress]:
        """Return how far each part is that has begun."""
        stored = self.at(generation.number).name
        return list(self.store.progress(stored, phase, range(generation.parts)).values())

    def filled(self, number: int) -> Generation:
        """Close the filling: redrive what was parked. Changes nothing if it is closed.

        Raises:
            RebuildRefusedError: not all parts are filled.
        """
        generation = self.control().generation(number)
        if generation.status != "filling":
            return generation
        self.hold()
        self._all_done(generation, "fill")
        self.runner.redrive(self.at(number), [one.stream for one in self.parked(number)])
        control = self._change(lambda control: control.followed(number, "filling", "verifying", self.clock()))
        return control.generation(number)

    def verified(self, number: int, *, rate: float | None = None) -> Progress:
        """Close the verification: the generation is ready to be promoted. Changes nothing if it is closed.

        Shared counters are judged first. `rate` is in read units a second.

        Raises:
            RebuildRefusedError: not all parts are verified, or a row or counter is not what the events make.
        """
        generation = self.control().generation(number)
        if generation.status in {"ready", "active", "retired"}:
            return summed(self.progress(generation, "verify"))
        self.hold()
        proven = self._all_done(generation, "verify")
        check = CounterCheck(self.at(number), self.events, self._recount(generation))
        if not proven.wrong:
            check_counters([check], lambda: self._all_keys(rate))
        if wrong := [*proven.findings, *map(str, check.findings)]:
            with suppress(StoreUnavailableError):  # What is wrong is to be told all the same.
                self.store.forget_progress(self.at(number).name, range(generation.parts))
            raise RebuildRefusedError(
                f"{self.name}: generation {number} is not what the events make, at "
                f"{proven.wrong + len(check.findings)} places: {'; '.join(wrong[:5])}. It is not promoted. "
                "Run the rebuild again once the cause is gone, "
                f"or drop it: eventfold projection drop {self.name} {number}"
            )
        self._change(lambda control: control.followed(number, "verifying", "ready", self.clock()))
        return proven.model_copy(update={"unjudged": tuple(check.unjudged)})

    def parked(self, number: int) -> list[Parked]:
        """Return the streams that wait in a generation."""
        names = (self.at(number).name, all_generations(self.name))
        return [one for name in names for one in self.parked_store.listed(name)]

    def settles_in(self) -> float:
        """Return in how many seconds every process works by the last switch, and the next one may come."""
        switched = self.control().switched
        return self._left(switched, self.timing.settle) if switched else 0

    def promote(self, number: int) -> float:
        """Show a generation for the first time. Return 0 if it was, by now, or in how many seconds to ask again.

        Asked again it changes nothing, not even where somebody has gone back from it since.

        Raises:
            RebuildRefusedError: as `switch` does, but for the last switch.
        """
        if self.control().generation(number).status in {"active", "retired"}:
            return 0
        if (left := self.settles_in()) <= 0:
            self.switch(number)
        return left

    def switch(self, number: int, *, at_once: bool = False) -> Control:
        """Show a generation that is ready or retired: one conditional write. Nothing changes if it is shown.

        `at_once` does not wait for the last switch to settle: a reader may then see a row go back by some events.

        Raises:
            RebuildRefusedError: it is not ready, some of its streams are parked, or the last switch has not settled.
        """
        if not at_once and self.control().active != number and (left := self.settles_in()) > 0:
            raise RebuildRefusedError(f"{self.name} was switched a moment ago. Try again in {left:.0f} s.")

        def shown(control: Control) -> Control:
            if control.active == number:
                return control
            promoted = control.promoted(number, self.clock())
            if waiting := self.parked(number):  # Read after the control item: what is parked later, changes that.
                stored = self.at(number).name
                raise RebuildRefusedError(
                    f"{self.name}: {len(waiting)} streams of generation {number} are parked, the first "
                    f"{waiting[0].stream}: {waiting[0].reason}. See `eventfold parked list --projection {stored}`."
                )
            return promoted

        return self._change(shown, unparked=True)

    def stop_feeding(self, number: int) -> float:
        """Begin to drop a generation; return in how many seconds nobody feeds or reads it any more.

        Raises:
            RebuildRefusedError: it is the active one, or is being built.
        """
        building = self.control().building
        if building is not None and building.number == number:
            self.hold()
        try:
            control = self._change(lambda control: control.dropped(number, self.clock()))
        finally:
            self.release()
        return self._left(control.generation(number).since, self.timing.settle)

    def drop(self, number: int, sweep: Callable[[str], Iterator[int]]) -> Iterator[int]:
        """Delete a generation that is no longer fed; yield how many rows so far. Can be made again after a crash.

        Raises:
            RebuildRefusedError: it is still fed: see `stop_feeding`.
        """
        generation = self.control().generation(number)
        if generation.status != "dropping":
            raise RebuildRefusedError(f"{self.name}: generation {number} is {generation.status}, and still fed.")
        stored = self.at(number).name
        deleted = 0
        for some in sweep(stored):
            deleted += some
            yield deleted
        for one in self.parked_store.listed(stored):
            self.parked_store.release(one)
        self.store.forget_progress(stored, range(generation.parts))
        self._change(lambda control: control.without(number))

    def _all_done(self, generation: Generation, phase: Phase) -> Progress:
        status = {"fill": "filling", "verify": "verifying"}[phase]
        if generation.status != status:
            raise RebuildRefusedError(f"{self.name}: generation {generation.number} is {generation.status}.")
        done = summed(self.progress(generation, phase))
        if done.part < generation.parts:
            raise RebuildRefusedError(
                f"{self.name}: {generation.parts - done.part} of {generation.parts} parts are left to {phase}. "
                "Run the rebuild again: it goes on from there."
            )
        return done

    def _recount(self, generation: Generation) -> Recount:
        """Return what all parts have counted.

        Raises:
            RebuildRefusedError: some of it is not there.
        """
        recount, stored = Recount(), self.at(generation.number).name
        for part in self.progress(generation, "verify"):
            pages = list(self.store.pages(stored, "verify", part.part, part.page_names))
            if len(pages) < len(part.page_names):
                self.store.forget_progress(stored, [part.part])
                raise RebuildRefusedError(
                    f"{self.name}: of part {part.part} the recount is gone. Run the rebuild again: it verifies it anew."
                )
            for page in pages:
                recount.merge(from_page(page))
        return recount

    def _all_keys(self, rate: float | None) -> Iterator[Sequence[StoredKey]]:
        for page in self.keys.keys(0, 1, consistent=True, rate=rate):
            self.hold()
            yield page

    def _left(self, since: datetime, seconds: float) -> float:
        return max(0.0, seconds - (self.clock() - since).total_seconds())

    def _change(self, change: Callable[[Control], Control], *, unparked: bool = False) -> Control:
        """Change the control item as it is now; once more, where somebody else was in between.

        `change` leaves alone what it has changed already: the answer that it was may have been lost.
        """
        for _ in range(_ATTEMPTS):
            control = self.control()
            changed = change(control)
            if changed == control:
                return control
            with suppress(RowConflictError):
                return self.store.write(changed, unparked=unparked)
        raise RebuildRefusedError(f"Others change the generations of {self.name} all the time. Look, then try again.")


def job(rebuild: Rebuild, generation: Generation, phase: Phase, source: Source, **more: Any) -> Job:
    """Return one phase of a generation's rebuild, for its workers.

    Raises:
        RebuildRefusedError: the source is not what the rebuild was begun with.
    """
    if source.parts != generation.parts:
        raise RebuildRefusedError(f"{source.name} has {source.parts} parts now, and had {generation.parts}.")
    return Job(
        target=rebuild.at(generation.number),
        phase=phase,
        source=source,
        store=rebuild.store,
        owner=rebuild.owner,
        hold_seconds=rebuild.hold_seconds,
        **more,
    )
