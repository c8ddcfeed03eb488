"""Filling a generation: each stream folded in memory, one write for each group of streams, beside the live feed.

The live feed may be at a stream first: the write is refused then, and the stream is brought to its end from the event
table, as by a redrive. Nothing but the generation's rows is written: no event, no snapshot; projections are pure, so a
rebuild has no side effects to repeat.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from eventfold.core.backoff import Backoff
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.reading import Source, SteadyPages, StoppedError, StreamReading
from eventfold.operations.rebuild.pages import to_pages
from eventfold.operations.rebuild.progress import SHOWN_FINDINGS, Phase, Progress, ProgressStore
from eventfold.operations.scanning import by_stream
from eventfold.operations.verify.counters import Recount
from eventfold.read_models.generations import ControlStore
from eventfold.read_models.parking import reason_of
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.tallies import TOGETHER
from eventfold.read_models.target import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventfold.operations.scanning import Place
    from eventfold.read_models.generations import Status
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.target import AnyTarget, Mark

CHECKPOINT_SECONDS = 2.0
CHUNK = 4 * TOGETHER
"""Streams of which those that count in the same shard share a transaction."""
HOLD_SECONDS = 30.0
"""How long a rebuild that has fallen silent keeps others out."""

_BACKOFF = Backoff(attempts=8, base=0.2, cap=5)
_STATUS: dict[Phase, Status] = {"fill": "filling", "verify": "verifying"}


class RebuildStore(ControlStore, ProgressStore, Protocol):
    """Where generations and a rebuild's progress are kept."""


@dataclass(frozen=True)
class Job:
    """One phase of a generation's rebuild, as all its workers share it. `rate` is in read units a second, a worker."""

    target: AnyTarget
    phase: Phase
    source: Source
    store: RebuildStore
    owner: str
    rate: float | None = None
    hold_seconds: float = HOLD_SECONDS
    stop: Callable[[], bool] = lambda: False

    def part(self, number: int) -> PartWork:
        """Return the work on one part, as far as it has come.

        Raises:
            RebuildRefusedError: the generation is in another phase.
        """
        self.hold(on=False)
        saved = self.store.progress(self.target.name, self.phase, [number]).get(number)
        return PartWork(self, saved or Progress(part=number))

    def hold(self, *, on: bool = True) -> None:
        """Hold the rebuild on, if it still is what this worker was told; take it up with `on=False`.

        Raises:
            RebuildRefusedError: another has taken over, or the generation is in another phase, or is dropped.
        """
        name, number = self.target.generation
        if self.store.hold(name, self.owner, self.hold_seconds, on=on):
            why = self.store.failure(name, self.owner)
            raise RebuildRefusedError(why or f"Another rebuild of {name} has taken over.")
        status = self.store.read([name])[name].generation(number).status
        if status != _STATUS[self.phase]:
            raise RebuildRefusedError(f"{name}: generation {number} is {status}; there is nothing to {self.phase}.")


@dataclass
class PartWork:
    """One part's reading: pages at their rate, and progress kept every few seconds.

    `recount` is what has been counted since it was kept last.
    """

    job: Job
    now: Progress
    recount: Recount = field(default_factory=Recount)
    _saved: float = field(default_factory=time.monotonic)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex)
    _batch: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        place = self.now.place
        self._from = place.stream if place else None
        self._before = self.now
        self._pages = SteadyPages(self.job.source, self.now.part, place, rate=self.job.rate, beat=self._beat)

    def streams(self) -> Iterator[StreamReading[Any]]:
        """Yield the streams that the target follows, behind the place that was kept.

        What has come since to the stream that was dealt with last is the live feed's.

        Raises:
            StoppedError: the worker was told to stop.
        """
        for stream, items in by_stream(self._pages):
            if stream != self._from and self.job.target.follows(stream):
                yield StreamReading(stream, items, self.job.target.codec)
                if self._beat():
                    raise StoppedError

    def save(self) -> None:
        """Keep the progress, and hold the rebuild on.

        The pages come first, under names that are used once: they count once the progress names them.

        Raises:
            RebuildRefusedError: another rebuild has taken over.
        """
        job, stored, part = self.job, self.job.target.name, self.now.part
        job.hold()
        pages = dict(self.now.pages)
        read = {"units": self._before.units + self._pages.units, "items": self._before.items + self._pages.items}
        try:
            for page in to_pages(self.recount):
                number = pages.get(self._batch, 0)
                job.store.save_page(stored, job.phase, part, f"{self._batch}-{number}", page)
                pages[self._batch] = number + 1
            now = self.now.model_copy(update={"pages": pages, "run": self._run, **read})
            self.now = job.store.save_progress(stored, job.phase, now)
        except StoreUnavailableError:
            self._batch = uuid.uuid4().hex  # The progress may be there, and name these pages: they stay as they are.
            raise
        except RowConflictError as error:
            raise RebuildRefusedError(f"Another rebuild of {stored} has taken over.") from error
        self.recount = Recount()
        self._saved = time.monotonic()

    def end(self) -> Progress:
        """Note that the part is read to its end."""
        self.now = self.now.model_copy(update={"done": True})
        self.save()
        return self.now

    def _beat(self) -> bool:
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self.save()
        return self.job.stop()


class Filler:
    """Fills parts of a generation. At most `writers` writes are under way at a time."""

    def __init__(self, runner: ProjectionRunner, *, writers: int = 8) -> None:
        self._runner = runner
        self._writers = writers

    def fill(self, job: Job, part: int) -> Progress:
        """Fill one part, from where it was left; return how far it is now: not `done` if it was told to stop.

        Raises:
            StoreUnavailableError: at every attempt. What was done is kept.
            RebuildRefusedError: another rebuild has taken over.
        """
        work = job.part(part)
        if work.now.done:
            return work.now
        together = CHUNK if job.target.shared else 1
        chunk: list[_Folded] = []
        line: deque[Future[list[_Filled]]] = deque()
        with ThreadPoolExecutor(self._writers) as pool:
            try:
                for reading in work.streams():
                    folded = folded_or_none(job.target, reading)
                    place = reading.skip()
                    chunk.append(_Folded(reading.stream, None, folded, reading.events, place))
                    if len(chunk) == together:
                        line.append(pool.submit(self._save, job.target, chunk))
                        chunk = []
                        _finish(work, line, leave=2 * self._writers)
                line.append(pool.submit(self._save, job.target, chunk))
                _finish(work, line)
            except StoppedError:
                line.append(pool.submit(self._save, job.target, chunk))
                _finish(work, line)
                work.save()
                return work.now
            except Exception:
                _finish(work, line)
                work.save()
                raise
        return work.end()

    def _save(self, target: AnyTarget, chunk: Sequence[_Folded]) -> list[_Filled]:
        saved: set[str] = set()
        for group in target.grouped(one for one in chunk if one.folded is not None):
            saved |= _saved(target, group)
        return [_Filled(one) if one.stream in saved else self._redriven(target, one) for one in chunk]

    def _redriven(self, target: AnyTarget, one: _Folded) -> _Filled:
        return _Filled(one, redriven=True, reason=redriven(self._runner, target, one.stream))


@dataclass(frozen=True, slots=True)
class _Folded(Change[Any, Any]):
    """A stream to be written, if it could be folded, how many events it has, and the place where it ends."""

    events: int
    place: Place | None


@dataclass(frozen=True, slots=True)
class _Filled:
    """What became of one stream; `reason` says why it was parked."""

    read: _Folded
    redriven: bool = False
    reason: str | None = None


def _saved(target: AnyTarget, group: Sequence[_Folded]) -> set[str]:
    """Write a group, or each stream by itself where one refuses; return those that were written.

    Where one refuses, the live feed or an earlier worker was there first: what that lacks, the table has.
    """
    try:
        patiently(lambda: target.save(group))
    except RowConflictError:
        return set().union(*(_saved(target, [one]) for one in group)) if len(group) > 1 else set()
    return {one.stream for one in group}


def _finish(work: PartWork, line: deque[Future[list[_Filled]]], leave: int = 0) -> None:
    """Count what is written, in order: a place is passed only when every stream before it is written."""
    while line and (len(line) > leave or line[0].done()):
        for one in line[0].result():
            now = work.now
            changed = {
                "place": one.read.place,
                "streams": now.streams + 1,
                "events": now.events + one.read.events,
                "redriven": now.redriven + one.redriven,
            }
            now = now.model_copy(update=changed)
            work.now = now.found(f"{one.read.stream}: {one.reason}") if one.reason else now
        line.popleft()


def folded_or_none(target: AnyTarget, reading: StreamReading[Any]) -> Mark | None:
    """Fold a stream as it comes; None if that fails: the event table then says what is wrong, or missing."""
    try:
        folded: Mark | None = target.fold(None, reading.recorded())
    except (StoreUnavailableError, StoppedError, RebuildRefusedError):
        raise  # The source's, not the stream's.
    except Exception:  # noqa: BLE001 - a projection is the user's code: it may raise anything
        return None
    return folded


def redriven(runner: ProjectionRunner, target: AnyTarget, stream: str, upto: int | None = None) -> str | None:
    """Bring one stream to its end, or to a version, from the event table; return why it had to be parked, if so.

    Raises:
        StoreUnavailableError: at every attempt, or others were faster at each. Neither is wrong with the stream.
    """

    def once() -> str | None:
        result = runner.redrive(target, [stream], upto={} if upto is None else {stream: upto})
        if failure := result.failed.get(stream):
            raise failure
        failure = result.parked.get(stream)
        if isinstance(failure, StoreUnavailableError | RowConflictError):
            raise StoreUnavailableError(str(failure)) from failure
        return reason_of(failure) if failure else None

    return patiently(once)


def patiently[T](work: Callable[[], T]) -> T:
    """Work, and again while the store is throttled.

    Raises:
        StoreUnavailableError: at every attempt.
    """
    for attempt in range(_BACKOFF.attempts - 1):
        with suppress(StoreUnavailableError):
            return work()
        _BACKOFF.wait(attempt)
    return work()


def summed(parts: Sequence[Progress]) -> Progress:
    """Return the progress of all parts as one; its `part` is how many are done."""
    return Progress(
        part=sum(one.done for one in parts),
        items=sum(one.items for one in parts),
        streams=sum(one.streams for one in parts),
        events=sum(one.events for one in parts),
        units=sum(one.units for one in parts),
        redriven=sum(one.redriven for one in parts),
        wrong=sum(one.wrong for one in parts),
        findings=tuple(finding for one in parts for finding in one.findings)[:SHOWN_FINDINGS],
        done=all(one.done for one in parts),
    )
