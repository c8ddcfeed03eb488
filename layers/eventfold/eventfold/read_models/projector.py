"""The projection runner: brings read models up to date from batches of commits.

The stream is only a wake-up, and the event table is the truth: a duplicate is dropped by its version, a gap is read
from the table, and order is restored within each stream.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from eventfold.core.commit import first_gap
from eventfold.core.errors import BrokenStreamError, StoreUnavailableError
from eventfold.core.store import end_of
from eventfold.read_models.idle import adds_nothing
from eventfold.read_models.parking import reason_of
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.target import Change, OrderChangedError, version_of

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
    """Applies batches of commits: one write for each group of streams in them, up to `writers` at the same time."""

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
            stream: _Batch(by_stream.get(stream, []), stream in named, limits.get(stream))
            for stream in dict.fromkeys([*by_stream, *named])
            if target.follows(stream)
        }
        try:
            marks = (
                known if known is not None else target.read(list(batches), consistent=bool(named)) if batches else {}
            )
        except StoreUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - one row that makes no sense fails a read of many: each is read by itself
            marks = None

        def prepare(stream: str) -> _Ready | BatchResult:
            return self._prepare_or_park(target, stream, batches[stream], marks)

        asking = [one for one in batches if marks is None or batches[one].whole(version_of(marks.get(one))) is None]
        asked = dict(zip(asking, self._each(asking, prepare), strict=True))
        outcomes = [asked.get(one) or prepare(one) for one in batches]
        ready = [one for one in outcomes if isinstance(one, _Ready)]
        groups = target.grouped(one for one in ready if one.folded is not None)
        groups = [*groups, *([one] for one in ready if one.folded is None)]
        saved = self._each(groups, lambda group: self._save(target, group, confirm))
        refused = [
            (one, result)
            for group, result in zip(groups, saved, strict=True)
            if isinstance(result, Exception)
            for one in group
        ]
        alone = self._each(refused, lambda one: self._save_alone(target, *one, confirm))
        return _sum(one for one in (*outcomes, *saved, *alone) if isinstance(one, BatchResult))

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

    def _each[I, T](self, items: Iterable[I], work: Callable[[I], T]) -> list[T]:
        """Work on items side by side. Whatever fails, none is still being worked on when this returns."""
        runs = [self._pool.submit(work, item) for item in items]
        wait(runs)
        return [run.result() for run in runs]

    def _prepare_or_park(
        self,
        target: AnyTarget,
        stream: str,
        batch: _Batch,
        marks: Mapping[str, Mark] | None = None,
        mark: Mark | None = None,
    ) -> _Ready | BatchResult:
        """Make a stream ready from its mark in `marks`, or as it is read now; `mark` is the one known before that."""
        try:
            mark = (target.read([stream]) if marks is None else marks).get(stream)
            return self._prepare(target, stream, batch, mark)
        except Exception as failure:  # noqa: BLE001 - a projection is the user's code: it may raise anything
            return self._park(target.name, stream, version_of(mark), failure)

    def _save(self, target: AnyTarget, group: Sequence[_Ready], confirm: Callable[[], None]) -> BatchResult | Exception:
        """Write streams that are ready; return why, where each is to be written by itself, from where it is by then."""
        try:
            return self._written(target, group, confirm)
        except OrderChangedError as refusal:
            return BatchResult(failed={one.stream: refusal for one in group})
        except RowConflictError as conflict:
            return conflict
        except Exception as failure:  # noqa: BLE001 - as above
            if len(group) > 1:
                return failure
            return self._park(target.name, group[0].stream, version_of(group[0].before), failure)

    def _save_alone(
        self, target: AnyTarget, ready: _Ready, refused: Exception, confirm: Callable[[], None]
    ) -> BatchResult:
        for _ in range(self._attempts - 1):
            again = self._prepare_or_park(target, ready.stream, ready.batch, mark=ready.before)
            if isinstance(again, BatchResult):
                return again
            result = self._save(target, [again], confirm)
            if isinstance(result, BatchResult):
                return result
            ready, refused = again, result
        return self._park(target.name, ready.stream, version_of(ready.before), refused)

    def _written(self, target: AnyTarget, group: Sequence[_Ready], confirm: Callable[[], None]) -> BatchResult:
        """Write streams, and release those that this takes to the event table's end."""
        writes = [one for one in group if one.folded is not None]
        if writes:
            confirm()
            target.save(writes)
        for one in group:
            if one.parked and self._parked.release(one.parked):
                one.result.released.append(one.stream)
        return _sum(one.result for one in group)

    def _park(self, name: str, stream: str, version: int | None, failure: Exception) -> BatchResult:
        try:
            self._parked.park(name, stream, version, reason_of(failure))
        except Exception as unparked:  # noqa: BLE001 - whatever it is, it is this stream's alone
            return BatchResult(failed={stream: unparked})
        return BatchResult(parked={stream: failure})

    def _prepare(self, target: AnyTarget, stream: str, batch: _Batch, mark: Mark | None) -> _Ready:
        """Make of a stream what is to be written of it, and what will have been done then."""
        pending = self._pending(target.name, stream, version_of(mark), batch)
        events = [one for commit in pending.commits for one in target.codec.recorded(commit)]
        done = BatchResult(
            applied=len(pending.commits),
            healed=len(pending.missing) - sum(adds_nothing(target, one) for one in pending.missing),
            duplicates=len(batch.commits) - (len(pending.commits) - len(pending.missing)),
        )
        return _Ready(stream, mark, target.fold(mark, events) if events else None, batch, pending.parked, done)

    def _pending(self, name: str, stream: str, version: int, batch: _Batch) -> _Pending:
        """Return what is to be applied behind `version`: from the batch, or from the event table where that has more.

        A parked stream has left a gap behind, so the event table is read for it. Without a gap nothing is released, and
        nobody asks whether it is parked.
        """
        if (whole := batch.whole(version)) is not None:
            return _Pending(whole)
        fresh = batch.behind(version)
        parked = self._parked.find(name, stream)  # before the event table: see parking.py
        if parked is None and batch.limit is not None and not fresh and version >= batch.limit:
            return _Pending([])
        commits: list[Commit] = []
        for commit in self._store.oldest_first(stream, after=version):
            if not batch.takes(commit):
                parked = None  # it is not brought to its end
                break
            commits.append(commit)
        gap = first_gap(version, commits)
        end = commits[-1].last_version if commits else version
        if gap is None and fresh and end < fresh[-1].version:
            gap = end + 1  # the stream has brought a commit that the table lacks
        if gap is not None:
            raise BrokenStreamError(stream, gap, "is missing from the event table")
        brought = {commit.version for commit in fresh}
        return _Pending(commits, [commit for commit in commits if commit.version not in brought], parked)


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

    def takes(self, commit: Commit) -> bool:
        return self.limit is None or commit.last_version <= self.limit

    def behind(self, version: int) -> list[Commit]:
        """Return its commits behind a version, each once and in order."""
        fresh = {one.version: one for one in self.commits if one.version > version and self.takes(one)}
        return [fresh[key] for key in sorted(fresh)]

    def whole(self, version: int) -> list[Commit] | None:
        """Return all that is to be applied behind a version; None where the event table has to be asked for it."""
        if self.from_table:
            return None
        fresh = self.behind(version)
        end = fresh[-1].last_version if fresh else version
        return fresh if end >= (self.limit or 0) and first_gap(version, fresh) is None else None


@dataclass(frozen=True, slots=True)
class _Ready(Change[Any, Any]):
    """What is to be written of a stream, if anything, and what has been done once it is written."""

    batch: _Batch
    parked: Parked | None
    result: BatchResult


def _sum(results: Iterable[BatchResult]) -> BatchResult:
    total = BatchResult()
    for result in results:
        total += result
    return total
