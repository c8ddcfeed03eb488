"""The projection runner: brings read models up to date from batches of commits.

The stream is only a wake-up, and the event table is the truth: a duplicate is dropped by its version, a gap is read
from the table, and order is restored within each stream.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from eventfold.core.commit import first_gap
from eventfold.core.errors import BrokenStreamError, EventfoldError, StoreUnavailableError
from eventfold.core.store import end_of
from eventfold.read_models.idle import adds_nothing
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.target import OrderChangedError, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.core.commit import Commit
    from eventfold.core.store import EventStore
    from eventfold.read_models.parking import Parked, ParkedStore
    from eventfold.read_models.target import AnyTarget, Mark


WRITERS = 8
"""Streams that are written at the same time: below a client's ten connections."""


@dataclass(slots=True)
class BatchResult:
    """What a run did, counted in commits.

    `parked` maps a stream to why it could not be projected, `failed` one that is neither projected nor parked to why:
    its commits have to come again.
    """

    applied: int = 0
    duplicates: int = 0
    healed: int = 0
    parked: dict[str, Exception] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)

    def __iadd__(self, other: BatchResult) -> Self:
        """Add what another run did."""
        self.applied += other.applied
        self.duplicates += other.duplicates
        self.healed += other.healed
        self.parked |= other.parked
        self.failed |= other.failed
        self.released += other.released
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

    def run(  # noqa: PLR0913 - what a run may be told besides is seldom told at once
        self,
        target: AnyTarget,
        commits: Iterable[Commit],
        streams: Iterable[str] = (),
        *,
        upto: Limits | None = None,
        confirm: Callable[[], None] = lambda: None,
        known: Mapping[str, Mark] | None = None,
    ) -> BatchResult:
        """Apply commits in any order, any number of times, and of `streams` all that the event table has.

        A stream that fails is parked; the others flow on. One that goes to its end in the event table is released.
        A stream that `upto` names comes to that version exactly, by the event table where the batch is short of it.
        `confirm` is asked before each write, and says by `OrderChangedError` that it must not be made. `known` are the
        target's marks, where they have been read already.

        Raises:
            StoreUnavailableError: the read models can't be read.
        """
        by_stream: dict[str, list[Commit]] = defaultdict(list)
        for commit in commits:
            by_stream[commit.stream].append(commit)
        named, limits = dict.fromkeys(streams), upto or {}
        batches = {
            stream: _Batch(by_stream.get(stream, []), stream in named, limits.get(stream), confirm)
            for stream in dict.fromkeys([*by_stream, *named])
            if target.follows(stream)
        }
        try:
            marks = known if known is not None else target.read(list(batches)) if batches else {}
        except StoreUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - one row that makes no sense fails a read of many: each is read by itself
            marks = None
        return _sum(self._each(batches, lambda stream: self._advance_or_park(target, stream, marks, batches[stream])))

    def redrive(self, target: AnyTarget, streams: Iterable[str], *, upto: Limits | None = None) -> BatchResult:
        """Replay streams from the event table, from where the target stands, and release those that go through."""
        return self.run(target, (), streams, upto=upto)

    def park(self, name: str, failures: Mapping[str, Exception]) -> BatchResult:
        """Set streams aside of which something can't be read: how far a target has seen them, or where they end."""
        return _sum(self._each(failures, lambda stream: self._park(name, stream, None, failures[stream])))

    def ends(self, streams: Iterable[str]) -> tuple[dict[str, int], dict[str, Exception]]:
        """Return at which version each stream ends in the event table, and why it can't be told. A request each."""
        found: dict[str, int] = {}
        failed: dict[str, Exception] = {}

        def find(stream: str) -> None:
            try:
                found[stream] = end_of(self._store, stream).version
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is this stream's alone
                failed[stream] = failure

        self._each(streams, find)
        return found, failed

    def _each[T](self, streams: Iterable[str], work: Callable[[str], T]) -> list[T]:
        """Work on streams side by side. Whatever fails, none is still being worked on when this returns."""
        runs = [self._pool.submit(work, stream) for stream in streams]
        wait(runs)
        return [run.result() for run in runs]

    def _advance_or_park(
        self, target: AnyTarget, stream: str, marks: Mapping[str, Mark] | None, batch: _Batch
    ) -> BatchResult:
        result, mark = BatchResult(), None
        try:
            mark = (target.read([stream]) if marks is None else marks).get(stream)
            self._advance(target, stream, mark, batch, result)
        except OrderChangedError as refusal:
            result.failed[stream] = refusal
        except Exception as failure:  # noqa: BLE001 - a projection is the user's code: it may raise anything
            return self._park(target.name, stream, version_of(mark), failure)
        return result

    def _park(self, name: str, stream: str, version: int | None, failure: Exception) -> BatchResult:
        try:
            self._parked.park(name, stream, version, reason_of(failure))
        except Exception as unparked:  # noqa: BLE001 - whatever it is, it is this stream's alone
            return BatchResult(failed={stream: unparked})
        return BatchResult(parked={stream: failure})

    def _advance(self, target: AnyTarget, stream: str, mark: Mark | None, batch: _Batch, result: BatchResult) -> None:
        """Bring one stream up to date, and release it if that took it to the event table's end."""
        for attempt in range(1, self._attempts + 1):
            version = version_of(mark)
            pending = self._pending(target.name, stream, version, batch)
            events = [one for commit in pending.commits for one in target.codec.recorded(commit)]
            try:
                if events and (folded := target.fold(mark, events)) is not None:
                    batch.confirm()
                    target.save(mark, folded)
            except RowConflictError:
                if attempt == self._attempts:
                    raise
                mark = target.read([stream]).get(stream)
                continue
            result.applied += len(pending.commits)
            result.healed += len(pending.missing) - sum(adds_nothing(target, one) for one in pending.missing)
            result.duplicates += len(batch.commits) - (len(pending.commits) - len(pending.missing))
            if pending.parked and self._parked.release(pending.parked):
                result.released.append(stream)
            return
        raise AssertionError("attempts is at least 1")

    def _pending(self, name: str, stream: str, version: int, batch: _Batch) -> _Pending:
        """Return what is to be applied behind `version`: from the batch, or from the event table where that has more.

        A parked stream has left a gap behind, so the event table is read for it. Without a gap nothing is released, and
        nobody asks whether it is parked.
        """
        fresh: Mapping[int, Commit] = {
            commit.version: commit for commit in batch.commits if commit.version > version and batch.takes(commit)
        }
        done = not fresh and version >= (batch.limit or 0)
        commits = [fresh[key] for key in sorted(fresh)]
        short = batch.limit is not None and commits and commits[-1].last_version < batch.limit
        if not batch.from_table and (done or (commits and not short and first_gap(version, commits) is None)):
            return _Pending(commits)
        parked = self._parked.find(name, stream)  # before the event table: see parking.py
        if done and batch.limit is not None and parked is None:
            return _Pending([])
        stored = self._store.oldest_first(stream, after=version)
        commits = []
        for commit in stored:
            if not batch.takes(commit):
                parked = None  # it is not brought to its end
                break
            commits.append(commit)
        gap = first_gap(version, commits)
        end = commits[-1].last_version if commits else version
        if gap is None and fresh and end < max(fresh):
            gap = end + 1  # the stream has brought a commit that the table lacks
        if gap is not None:
            raise BrokenStreamError(stream, gap, "is missing from the event table")
        return _Pending(commits, [commit for commit in commits if commit.version not in fresh], parked)


@dataclass(frozen=True, slots=True)
class _Pending:
    """Commits to apply, in order; those of them that the batch lacked; and what is to be released once they are."""

    commits: list[Commit]
    missing: Sequence[Commit] = ()
    parked: Parked | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a run is to apply of one stream: its commits in a batch, or all that is in the event table (`from_table`).

    Up to `limit`, if there is one.
    """

    commits: Sequence[Commit]
    from_table: bool
    limit: int | None
    confirm: Callable[[], None]

    def takes(self, commit: Commit) -> bool:
        return self.limit is None or commit.last_version <= self.limit


def _sum(results: Iterable[BatchResult]) -> BatchResult:
    total = BatchResult()
    for result in results:
        total += result
    return total


def reason_of(failure: Exception) -> str:
    """Return an error as one line without what it may quote: its type and place; the library's own words too."""
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    words = f": {failure}" if isinstance(failure, EventfoldError) else ""
    return f"{type(failure).__name__}{words}{place}"
