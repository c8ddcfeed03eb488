"""Proving a generation before it is shown: every row against the fold of its events, and none behind the active one.

What the events add to shared counters is recounted on the way; `verified` holds them against it once all is read.

The source is read again. A stream that is behind, because a scan did not see its newest commit, is brought to its end
from the event table; what then still is not what its events make is a finding, and the generation is not promoted.

A scan may also be ahead of the stream, and so of the active generation. That one is then brought on as far: after a
promotion one may want to go back to it.
"""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING, Any

from eventfold.core.commit import contiguous
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.reading import StoppedError
from eventfold.operations.rebuild.filling import redriven
from eventfold.read_models.parking import reason_of
from eventfold.read_models.target import stands_for, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eventfold.core.events import Recorded
    from eventfold.core.store import EventStore
    from eventfold.operations.reading import StreamReading
    from eventfold.operations.rebuild.filling import Job, PartWork
    from eventfold.operations.rebuild.progress import Progress
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.tallies import Counts
    from eventfold.read_models.target import AnyTarget, Mark

_CHUNK = 100

type Folded = tuple[StreamReading[Any], Mark | None]


class Prover:
    """Compares parts of a generation with the events, and with the active generation (`shown`)."""

    def __init__(self, store: EventStore, runner: ProjectionRunner, shown: AnyTarget) -> None:
        self._store = store
        self._runner = runner
        self._shown = shown

    def prove(self, job: Job, part: int) -> Progress:
        """Prove one part, from where it was left; return how far it is now: not `done` if it was told to stop.

        Raises:
            StoreUnavailableError: at every attempt. What was done is kept.
            RebuildRefusedError: another rebuild has taken over.
        """
        work = job.part(part)
        if work.now.done:
            return work.now
        try:
            for chunk in batched(self._folded(job.target, work), _CHUNK, strict=False):
                self._chunk(job.target, work, chunk)
        except StoppedError:
            work.save()
            return work.now
        return work.end()

    def _folded(self, target: AnyTarget, work: PartWork) -> Iterator[Folded]:
        for reading in work.streams():
            try:
                folded = target.fold(None, reading.recorded())
            except (StoreUnavailableError, StoppedError, RebuildRefusedError):
                raise
            except Exception:  # noqa: BLE001 - a projection is the user's code: it may raise anything
                folded = None
            reading.skip()
            yield reading, folded

    def _chunk(self, target: AnyTarget, work: PartWork, chunk: Sequence[Folded]) -> None:
        streams = [reading.stream for reading, _ in chunk]
        shown: Mapping[str, Mark] = self._shown.read(streams)
        marks: Mapping[str, Mark] = target.read(streams)  # After the other: what is shown by then, it must have seen.
        now = work.now
        for reading, folded in chunk:
            needed = target.needed(folded) if folded else 0
            there = shown.get(reading.stream)
            mark = marks.get(reading.stream)
            behind = folded is None or version_of(mark) < max(needed, version_of(there))
            reason = redriven(self._runner, target, reading.stream) if behind else None
            if behind:
                mark = target.read([reading.stream]).get(reading.stream)
            known = needed if folded and mark and mark.version <= folded.version else version_of(mark)
            if mark and version_of(there) < known:
                redriven(self._runner, self._shown, reading.stream, upto=mark.version)
            if reason is None:
                reason, counted = self._difference(target, reading.stream, mark, folded)
                if target.shared and mark and reading.from_first:
                    work.recount.add(reading.stream, mark.version, counted)
            now = now.found(f"{reading.stream}: {reason}") if reason else now
            changed = {
                "place": reading.place,
                "streams": now.streams + 1,
                "events": now.events + reading.events,
                "redriven": now.redriven + behind,
            }
            now = now.model_copy(update=changed)
        work.now = now

    def _difference(
        self, target: AnyTarget, stream: str, mark: Mark | None, folded: Mark | None
    ) -> tuple[str | None, Counts]:
        """Return how the stored row differs from its events, and what the events up to it add to shared counters."""
        # It has gone on since, or the source did not bring it all.
        if folded is None or not stands_for(target, folded, version_of(mark)):
            try:
                folded = target.fold(None, self._upto(target, stream, mark.version if mark else None))
            except StoreUnavailableError:
                raise
            except Exception as failure:  # noqa: BLE001 - as above
                return reason_of(failure), {}
        if mark is None:
            return "has no row" if folded and target.needed(folded) else None, {}
        if folded is None or target.differs(mark, folded):
            return f"the row at version {mark.version} is not what its events make", {}
        return None, target.counts(folded) if target.shared else {}

    def _upto(self, target: AnyTarget, stream: str, last: int | None) -> Iterator[Recorded[Any]]:
        for commit in contiguous(self._store.oldest_first(stream)):
            if last is not None and commit.version > last:
                return
            yield from target.codec.recorded(commit)
