"""Filling a generation: each stream folded in memory, one write a stream, beside the live feed.

The live feed may be at a stream first: the write is refused then, and the stream is brought to its end from the event
table, as by a redrive. Nothing but the generation's rows is written: no event, no snapshot; projections are pure, so a
rebuild has no side effects to repeat.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.reading import Source, SteadyPages, StoppedError, StreamReading
from eventfold.operations.rebuild.progress import SHOWN_FINDINGS, Phase, Progress, ProgressStore
from eventfold.operations.scanning import by_stream
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.projector import reason_of
from eventfold.read_models.tallies import add_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventfold.operations.scanning import Place
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.tallies import Counts
    from eventfold.read_models.target import AnyTarget, Mark

CHECKPOINT_SECONDS = 2.0
HOLD_SECONDS = 30.0
"""How long a rebuild that has fallen silent keeps others out."""

_ATTEMPTS = 8


@dataclass(frozen=True)
class Job:
    """One phase of a generation's rebuild, as all its workers share it. `rate` is in read units a second, a worker."""

    projection: str
    target: AnyTarget
    phase: Phase
    source: Source
    progress: ProgressStore
    owner: str
    rate: float | None = None
    hold_seconds: float = HOLD_SECONDS
    stop: Callable[[], bool] = lambda: False

    def part(self, number: int) -> PartWork:
        """Return the work on one part, as far as it has come."""
        saved = self.progress.progress(self.target.name, self.phase, [number]).get(number)
        return PartWork(self, saved or Progress(part=number))


@dataclass
class PartWork:
    """One part's reading: pages at their rate, and progress kept every few seconds."""

    job: Job
    now: Progress
    _saved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        place = self.now.place
        self._from = place.stream if place else None
        self._before = self.now
        self.counts = {row: dict(counters) for row, counters in self.now.counts.items()}
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

        Raises:
            RebuildRefusedError: another rebuild has taken over.
        """
        job = self.job
        if job.progress.hold(job.projection, job.owner, job.hold_seconds):
            raise RebuildRefusedError(f"Another rebuild of {job.projection} has taken over.")
        counts = {row: dict(counters) for row, counters in self.counts.items()}
        read = {"units": self._before.units + self._pages.units, "items": self._before.items + self._pages.items}
        self.now = self.now.model_copy(update={**read, "counts": counts})
        job.progress.save_progress(job.target.name, job.phase, self.now)
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


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of one stream."""

    redriven: bool = False
    reason: str | None = None


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
        line: deque[_InLine] = deque()
        with ThreadPoolExecutor(self._writers) as pool:
            try:
                for reading in work.streams():
                    folded = _folded(job.target, reading)
                    place = reading.skip()
                    future = pool.submit(self._save, job.target, reading.stream, folded)
                    line.append(_InLine(future, place, reading, job.target.counts(folded) if folded else {}))
                    _settle(work, line, leave=2 * self._writers)
                _settle(work, line)
            except StoppedError:
                _settle(work, line)
                work.save()
                return work.now
            except Exception:
                _settle(work, line)
                work.save()
                raise
        return work.end()

    def _save(self, target: AnyTarget, stream: str, folded: Mark | None) -> Filled:
        if folded is not None:
            try:
                patiently(lambda: target.save(None, folded))
            except RowConflictError:
                pass  # The live feed, or an earlier worker, was here first: what it lacks, the table has.
            else:
                return Filled()
        return Filled(redriven=True, reason=redriven(self._runner, target, stream))


@dataclass(frozen=True, slots=True)
class _InLine:
    future: Future[Filled]
    place: Place | None
    reading: StreamReading[Any]
    counts: Counts


def _settle(work: PartWork, line: deque[_InLine], leave: int = 0) -> None:
    """Count what is written, in order: a place is passed only when every stream before it is written."""
    while line and (len(line) > leave or line[0].future.done()):
        first = line[0]
        filled = first.future.result()
        now = work.now
        changed = {
            "place": first.place,
            "streams": now.streams + 1,
            "events": now.events + first.reading.events,
            "redriven": now.redriven + filled.redriven,
        }
        now = now.model_copy(update=changed)
        work.now = now.found(f"{first.reading.stream}: {filled.reason}") if filled.reason else now
        add_counts(work.counts, first.counts)
        line.popleft()


def _folded(target: AnyTarget, reading: StreamReading[Any]) -> Mark | None:
    """Fold a stream as it comes; None if that fails: the event table then says what is wrong, or missing."""
    try:
        folded: Mark | None = target.fold(None, reading.recorded())
    except (StoreUnavailableError, StoppedError, RebuildRefusedError):
        raise  # The source's, not the stream's.
    except Exception:  # noqa: BLE001 - a projection is the user's code: it may raise anything
        return None
    return folded


def redriven(runner: ProjectionRunner, target: AnyTarget, stream: str, upto: int | None = None) -> str | None:
    """Bring one stream to its end, or to a version, from the event table; return why it had to be parked, if so."""
    done = runner.redrive(target, [stream], upto={} if upto is None else {stream: upto})
    for failure in done.failed.values():
        raise failure
    return reason_of(done.parked[stream]) if stream in done.parked else None


def patiently(write: Callable[[], None]) -> None:
    """Write, and again while the store is throttled.

    Raises:
        StoreUnavailableError: at every attempt.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            write()
        except StoreUnavailableError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(min(5.0, 0.05 * 2**attempt))
        else:
            return


def summed(parts: Sequence[Progress]) -> Progress:
    """Return the progress of all parts as one; its `part` is how many are done."""
    total: dict[str, dict[str, int]] = {}
    for one in parts:
        add_counts(total, one.counts)
    return Progress(
        part=sum(one.done for one in parts),
        items=sum(one.items for one in parts),
        streams=sum(one.streams for one in parts),
        events=sum(one.events for one in parts),
        units=sum(one.units for one in parts),
        redriven=sum(one.redriven for one in parts),
        wrong=sum(one.wrong for one in parts),
        findings=tuple(finding for one in parts for finding in one.findings)[:SHOWN_FINDINGS],
        counts=total,
        done=all(one.done for one in parts),
    )
