"""The port that every event store keeps. Two adapters ship: memory and DynamoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from eventfold.core.commit import Commit, Head, Snapshot
from eventfold.core.errors import VersionConflictError, VersionOutOfLineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventfold.core.unique import KeyMove

type Item = Commit | Snapshot


class EventStore(Protocol):
    """Streams of commits, with snapshots between them. Commits are never changed or removed."""

    def append(self, commit: Commit, *, after: Head | None) -> None:
        """Write the commit, if nobody has written its version yet. One request.

        `after` is the stream's end as a read saw it. None is a blind append: the store then reads the
        end first (one more request), so that no commit can overlap another or leave a gap. Writing the
        same commit twice succeeds twice and is stored once: the same in all it says, its events among it.

        Raises:
            InvalidCommitError: refused before any call; its subclasses say why.
            VersionConflictError: another commit has that version.
            StoreUnavailableError: throttled or out of reach; whether it was written is not known,
                and the same commit can be appended again.
        """
        ...

    def append_together(
        self, commits: Sequence[Commit], *, guards: Sequence[Head] = (), moves: Sequence[KeyMove] = ()
    ) -> None:
        """Write commits of several streams, all or none, if nobody has written their versions. One request.

        Each follows its stream's end as a read saw it, and they share an id. What is stored of each names the others as
        its siblings. A guard is the end of a stream that was read and is not written: nothing is written if another
        commit lies behind it. Guards alone show that streams stood so together. `moves` are the unique keys that change
        hands with it; the release of a key that another stream has changes nothing, for one request more. Writing the
        same again succeeds and stores nothing.

        Raises:
            InvalidCommitError: refused before any call; its subclasses say why.
            StreamsMovedError: another commit has one of the versions, or lies behind a guard.
            KeysHeldError: all streams are as they should be, and others have some of the keys.
            StoreUnavailableError: throttled or out of reach; whether they were written is not known, and the same
                commits can be appended again.
        """
        ...

    def newest_first(
        self, stream: str, *, upto: int | None = None, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Item]:
        """Yield the stream from its end: commits that start at or before `upto`, snapshots up to it.

        Reads pages as they are asked for, and holds one at a time. `page_size` bounds the items of the first page, and
        each next one may hold twice as many, up to a cap of the store's: a reader who stops early pays little, one who
        reads on asks seldom.
        """
        ...

    def oldest_first(
        self, stream: str, *, after: int = 0, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Commit]:
        """Yield the commits that start after version `after`, in order. Pages are as in `newest_first`."""
        ...

    def save_snapshot(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        """Keep the snapshot beside its stream; False if one of that version and schema is there and stays.

        With `replace` it does not stay: for a state that was replayed from version 1, whatever snapshots there are.
        """
        ...


def already_appended(store: EventStore, commit: Commit) -> bool:
    """Check a blind append against the table: True if this very commit is there. One request.

    Raises:
        VersionOutOfLineError: the commit would leave a gap.
        VersionConflictError: another commit has its version.
    """
    near = store.newest_first(commit.stream, upto=commit.version, page_size=2)
    before = next((item for item in near if isinstance(item, Commit)), None)
    last = before.last_version if before else 0
    if before and before.version == commit.version:
        if before == commit:
            return True
        raise VersionConflictError(commit.stream, commit.version, before)
    if last >= commit.version:
        raise VersionConflictError(commit.stream, commit.version, None)
    if last < commit.version - 1:
        raise VersionOutOfLineError(f"stream {commit.stream!r} ends at {last}: version {commit.version} leaves a gap")
    return False


def end_of(store: EventStore, stream: str) -> Head:
    """Return where the stream ends now, read consistently. One request."""
    return next((item.head for item in store.newest_first(stream, page_size=1)), Head(stream, 0))
