"""Checking a read model against the events: rows, checkpoints and shared counters.

A live read model moves while it is checked. So each row is held against the events up to the row's own version, and
what is behind the stream as the scan saw it gets some seconds to come up before it is a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from eventfold.core.commit import CommitPlace, contiguous
from eventfold.core.errors import StoreUnavailableError
from eventfold.operations.verify.counters import Recount
from eventfold.operations.verify.finding import Finding
from eventfold.read_models.parking import reason_of
from eventfold.read_models.tallies import add_counts
from eventfold.read_models.target import stands_for, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from eventfold.core.events import Recorded
    from eventfold.core.store import EventStore
    from eventfold.operations.scanning import ScannableStore
    from eventfold.operations.verify.keys import StoredKey
    from eventfold.read_models.target import AnyTarget, Mark

    class VerifiableStore(EventStore, ScannableStore, Protocol):
        """What a verification reads."""


_BATCH = 500
_WAITING = 1000
"""Streams behind that are remembered until they are looked at again."""


class Fold:
    """One stream's events as a target has them, folded in batches, so that a long stream needs no memory."""

    def __init__(self, target: AnyTarget, stream: str) -> None:
        self.stream = stream
        self.complete = True
        """Whether the events it was handed are all that the stream has, as far as it could be read."""
        self.counts: dict[str, dict[str, int]] = {}
        self.failure: str | None = None
        """Why the read model can't take an event of this stream."""
        self._target = target
        self._folded: Mark | None = None
        self._pending: list[Recorded[Any]] = []

    def see(self, recorded: Sequence[Recorded[Any]]) -> None:
        """Take the events that follow."""
        self._pending += recorded
        if len(self._pending) >= _BATCH:
            self.folded()

    def folded(self) -> Mark | None:
        """Return what the target would have stored by now; None without events."""
        if self._pending and self.failure is None:
            try:
                self._fold()
            except Exception as failure:  # noqa: BLE001 - a projection is the user's code: it may raise anything
                self.failure = reason_of(failure)
        self._pending = []
        return self._folded

    def _fold(self) -> None:
        self._folded = self._target.fold(self._folded, self._pending)
        if self._target.shared:
            add_counts(self.counts, self._target.counts(self._folded))

    @property
    def version(self) -> int:
        """The version of the last event; 0 without events."""
        return version_of(self.folded())

    @property
    def needed(self) -> int:
        """The version that a mark has to have come to; 0 without events, or where none changes anything."""
        folded = self.folded()
        return self._target.needed(folded) if folded else 0

    def reaches(self, version: int) -> bool:
        """Whether what is folded is what a mark at this version stands for."""
        folded = self.folded()
        return stands_for(self._target, folded, version) if folded else version == 0


class ReadModelCheck:
    """Checks one read model, stream by stream. `recount` is what the events say of its counters.

    `wait(seconds)` is how it waits for what is behind, `tries` times a second.
    """

    def __init__(
        self,
        target: AnyTarget,
        store: EventStore,
        *,
        wait: Callable[[float], None],
        tries: int = 10,
    ) -> None:
        self.target = target
        self.recount = Recount()
        self._store = store
        self._wait = wait
        self._tries = tries
        self._behind: dict[str, int] = {}

    def check(self, folds: Sequence[Fold]) -> Iterator[Finding]:
        """Check these streams. One read for each 100; one more for each that has gone on since it was scanned."""
        marks, unreadable = self._read([fold.stream for fold in folds])
        yield from unreadable.values()
        for fold in folds:
            if fold.stream in unreadable:
                continue
            mark = marks.get(fold.stream)
            if fold.failure:
                yield Finding(fold.stream, fold.version + 1, fold.failure, self._where)
            if fold.failure or not fold.complete:
                self._count_quietly(fold.stream, mark)
            elif version_of(mark) < fold.needed:
                self._behind[fold.stream] = fold.needed
            elif mark is not None:
                yield from self._compare(fold, mark)
        if len(self._behind) >= _WAITING:
            yield from self.recheck()

    def recheck(self) -> Iterator[Finding]:
        """Look again at what was behind, and again, until it is there or the time is up."""
        for left in reversed(range(self._tries)):
            if not self._behind:
                return
            self._wait(1)
            marks, _ = self._read(list(self._behind))
            for stream, end in list(self._behind.items()):
                mark = marks.get(stream)
                there = version_of(mark)
                if there >= end or left == 0:
                    del self._behind[stream]
                    yield from self._compare(Fold(self.target, stream), mark)
                if there < end and left == 0:
                    yield self._late(stream, there, end)

    def orphans(self, page: Sequence[StoredKey], store: ScannableStore) -> Iterator[Finding]:
        """Find what is stored of streams that there are not, among these keys of the read-model table."""
        mine = {key.of for key in page if key.stored == self.target.name and key.kind != "counter"}
        followed = {stream for stream in mine if self.target.follows(stream)}
        for stream in sorted(mine - followed):
            yield Finding(stream, None, "is stored, though the read model does not follow this stream", self._where)
        begun = {one.stream for one in store.commit_ids(CommitPlace(stream, 1) for stream in sorted(followed))}
        for stream in sorted(followed - begun):
            if next(store.items(stream), None) is None:
                yield Finding(stream, None, "is stored, though there is no such stream", self._where)

    def _read(self, streams: Sequence[str]) -> tuple[Mapping[str, Mark], dict[str, Finding]]:
        """Read what is stored; where some of it makes no sense, stream by stream."""
        try:
            return self.target.read(streams), {}
        except (KeyError, ValueError) as error:
            if len(streams) == 1:
                what = f"can't be read: {type(error).__name__}"
                return {}, {streams[0]: Finding(streams[0], None, what, self._where)}
        marks: dict[str, Mark] = {}
        unreadable: dict[str, Finding] = {}
        for stream in streams:
            found, broken = self._read([stream])
            marks.update(found)
            unreadable.update(broken)
        return marks, unreadable

    @property
    def _where(self) -> str:
        return self.target.name

    def _late(self, stream: str, there: int, end: int) -> Finding:
        what = f"is behind: its stream is at version {end} at least" if there else "is missing"
        return Finding(stream, there or None, what, self._where)

    def _compare(self, fold: Fold, mark: Mark | None) -> Iterator[Finding]:
        """Hold what is stored against the events up to its version; `fold` may have come less far, or further."""
        if mark is None:
            return
        try:
            fold = self._brought_to(fold, mark.version)
        except StoreUnavailableError:
            raise
        except Exception as failure:  # noqa: BLE001 - a projection is the user's code: it may raise anything
            fold.failure = reason_of(failure)
        folded = fold.folded()
        if fold.failure:
            self.recount.uncounted.add(fold.stream)
            yield Finding(fold.stream, mark.version, fold.failure, self._where)
            return
        if folded is None or not fold.reaches(mark.version):
            yield Finding(fold.stream, mark.version, f"its stream ends at version {fold.version}", self._where)
        elif self.target.differs(mark, folded):
            yield Finding(fold.stream, mark.version, "is not what its events make", self._where)
        if self.target.shared:
            self.recount.add(fold.stream, mark.version, fold.counts)

    def _count_quietly(self, stream: str, mark: Mark | None) -> None:
        """Count what can be counted of a stream that is broken further on, which is a finding already."""
        if mark is not None:
            for _ in self._compare(Fold(self.target, stream), mark):
                pass

    def _brought_to(self, fold: Fold, version: int) -> Fold:
        """Return the fold of the events up to a version: this one as it is or gone on, or one from the start."""
        if fold.reaches(version):
            return fold
        if fold.version > version:
            fold = Fold(self.target, fold.stream)
        end = fold.version
        for commit in contiguous(self._store.oldest_first(fold.stream, after=end), end):
            fold.see([one for one in self.target.codec.recorded(commit) if one.version <= version])
            if commit.last_version >= version:
                break
        return fold
