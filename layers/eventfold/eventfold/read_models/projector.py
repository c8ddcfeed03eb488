"""The projection runner: brings read models up to date from batches of commits.

The stream is only a wake-up, and the event table is the truth: a duplicate is dropped by its version, a gap is read
from the table, and order is restored within each stream.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Self

from eventfold.core.commit import first_gap
from eventfold.core.errors import BrokenStreamError, EventfoldError
from eventfold.read_models.projections import RowConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventfold.core.commit import Commit
    from eventfold.core.store import EventStore
    from eventfold.read_models.parking import ParkedStore
    from eventfold.read_models.target import AnyTarget, Mark


WRITERS = 8
"""Streams that are written at the same time: below a client's ten connections."""


@dataclass(slots=True)
class BatchResult:
    """What a run did, counted in commits.

    `parked` maps a stream to why it could not be projected, `reached` every other one to the version it is now at.
    """

    applied: int = 0
    duplicates: int = 0
    healed: int = 0
    parked: dict[str, Exception] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    def __iadd__(self, other: BatchResult) -> Self:
        """Add what another run did."""
        self.applied += other.applied
        self.duplicates += other.duplicates
        self.healed += other.healed
        self.parked |= other.parked
        self.released += other.released
        self.reached |= other.reached
        return self


type Limits = Mapping[str, int]
"""The version to come to, by stream, and no further; a stream that is not named has no limit."""


class ProjectionRunner:
    """Applies batches of commits: one write for each stream in them, up to `writers` at the same time."""

    def __init__(self, store: EventStore, parked: ParkedStore, *, attempts: int = 3, writers: int = WRITERS) -> None:
        self._store = store
        self._parked = parked
        self._attempts = attempts
        self._pool = ThreadPoolExecutor(writers, thread_name_prefix="projection")

    def run(self, target: AnyTarget, commits: Iterable[Commit], *, upto: Limits | None = None) -> BatchResult:
        """Apply commits in any order, any number of times. A stream that fails is parked; the others flow on.

        A stream that `upto` names comes to that version exactly, by the event table where the batch is short of it.

        Raises:
            StoreUnavailableError: the read models can't be read, or a stream can't be parked. The whole batch is
                to be tried again: what was applied is then dropped as duplicate.
        """
        by_stream: dict[str, list[Commit]] = defaultdict(list)
        for commit in commits:
            if target.follows(commit.stream):
                by_stream[commit.stream].append(commit)
        limits = upto or {}
        return self._advance_each(
            target, {stream: _Batch(batch, limits.get(stream)) for stream, batch in by_stream.items()}
        )

    def redrive(self, target: AnyTarget, streams: Sequence[str], *, upto: Limits | None = None) -> BatchResult:
        """Replay streams from the event table, from where the target stands, and release those that go through."""
        # A dict, because two records of one stream name it twice, and no read may.
        limits = upto or {}
        return self._advance_each(target, {stream: _Batch(None, limits.get(stream)) for stream in streams})

    def _advance_each(self, target: AnyTarget, batches: Mapping[str, _Batch]) -> BatchResult:
        """Bring streams up to date side by side. Whatever fails, none is still being written when this returns."""
        result = BatchResult()
        marks = target.read(list(batches)) if batches else {}
        runs = [
            self._pool.submit(self._advance_or_park, target, stream, marks.get(stream), batch)
            for stream, batch in batches.items()
        ]
        wait(runs)
        for run in runs:
            result += run.result()
        return result

    def _advance_or_park(self, target: AnyTarget, stream: str, mark: Mark | None, batch: _Batch) -> BatchResult:
        result = BatchResult()
        try:
            healed = self._advance(target, stream, mark, batch, result)
        except Exception as failure:  # noqa: BLE001 - a projection is the user's code: it may raise anything
            result.parked[stream] = failure
            self._parked.park(target.name, stream, mark.version if mark else 0, reason_of(failure))
        else:
            # A parked stream has left a gap behind; without one there is nothing to release, and no request.
            if healed or batch.commits is None:
                self._parked.release(target.name, stream)
                result.released.append(stream)
        return result

    def _advance(self, target: AnyTarget, stream: str, mark: Mark | None, batch: _Batch, result: BatchResult) -> bool:
        """Bring one stream up to date; whether the event table had to help."""
        for attempt in range(1, self._attempts + 1):
            version = mark.version if mark else 0
            pending, missing = self._pending(stream, version, batch)
            events = [one for commit in pending for one in target.codec.recorded(commit)]
            try:
                if events and (folded := target.fold(mark, events)) is not None:
                    target.save(mark, folded)
            except RowConflictError:
                if attempt == self._attempts:
                    raise
                mark = target.read([stream]).get(stream)
                continue
            result.applied += len(pending)
            result.healed += missing
            result.duplicates += len(batch.commits or ()) - (len(pending) - missing)
            result.reached[stream] = pending[-1].last_version if pending else version
            return missing > 0
        raise AssertionError("attempts is at least 1")

    def _pending(self, stream: str, version: int, batch: _Batch) -> tuple[list[Commit], int]:
        """Return the commits to apply behind `version`, in order, and how many of them the batch lacked."""
        fresh: Mapping[int, Commit] = {
            commit.version: commit for commit in batch.commits or () if commit.version > version and batch.takes(commit)
        }
        if batch.commits is not None and not fresh and version >= (batch.limit or 0):
            return [], 0
        pending = [fresh[key] for key in sorted(fresh)]
        short = batch.limit is not None and pending and pending[-1].last_version < batch.limit
        if pending and not short and first_gap(version, pending) is None:
            return pending, 0
        pending = list(takewhile(batch.takes, self._store.oldest_first(stream, after=version)))
        gap = first_gap(version, pending)
        end = pending[-1].last_version if pending else version
        if gap is None and fresh and end < max(fresh):
            gap = end + 1  # the stream has brought a commit that the table lacks
        if gap is not None:
            raise BrokenStreamError(stream, gap, "is missing from the event table")
        return pending, sum(commit.version not in fresh for commit in pending)


@dataclass(frozen=True, slots=True)
class _Batch:
    """One stream's commits in a batch, None for all that the event table has; up to `limit`, if there is one."""

    commits: list[Commit] | None
    limit: int | None

    def takes(self, commit: Commit) -> bool:
        return self.limit is None or commit.last_version <= self.limit


def reason_of(failure: Exception) -> str:
    """Return an error as one line without what it may quote: its type and place; the library's own words too."""
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    words = f": {failure}" if isinstance(failure, EventfoldError) else ""
    return f"{type(failure).__name__}{words}{place}"
