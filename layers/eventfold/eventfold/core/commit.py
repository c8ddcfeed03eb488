"""What a stream is made of: commits, and snapshots between them."""

from __future__ import annotations

import hashlib
import json
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from eventfold.core.errors import BrokenStreamError, InvalidCommitError, InvalidStreamNameError, VersionOutOfLineError
from eventfold.core.stored import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from eventfold.core.stored import StoredEvent

MAX_STREAM_NAME_BYTES = 512
"""Of a stream that is written to: each key that is made of its name then fits DynamoDB.

The tightest are sort keys, of 1,024 bytes: a parked stream's is the name, and a list's is what the list is ordered by
in front of the name, which leaves 511 bytes to that. A row, checkpoint or counter has the read model's name in front of
it in a partition key, of 2,048 bytes.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""
MAX_ID_BYTES = 512
"""Of a commit's id, which may be a caller's key: a snapshot keeps those of 100 commits, within an item's 400 KB."""
MAX_READ_NAME_BYTES = 2048
"""Of a stream that is read: all that a partition key can hold. Streams may be older than the limit on writing."""


def stream_name(category: str, id_: str) -> str:
    """Return `category-id`. A category has no dash, so the first dash parts the two.

    Raises:
        InvalidStreamNameError: either part is empty, or the name is over 512 bytes or no Unicode text.
    """
    name = f"{category}-{id_}"
    if "-" in category:
        raise InvalidStreamNameError(f"the category {category!r} has a dash")
    check_stream_name(name)
    return name


def check_stream_name(name: str, at_most: int = MAX_STREAM_NAME_BYTES) -> None:
    """Refuse a stream name that is not `category-id`, or not Unicode text of at most so many bytes.

    Raises:
        InvalidStreamNameError: names what is wrong.
    """
    if not is_text(name):
        raise InvalidStreamNameError("a stream name is Unicode text, without lone surrogates")
    category, _, id_ = name.partition("-")
    if not category or not id_:
        raise InvalidStreamNameError(f"a stream is named category-id, both not empty, not {name[:40]!r}")
    if len(name.encode()) > at_most:
        raise InvalidStreamNameError(f"a stream name has at most {at_most:,} bytes: {name[:40]!r}...")


def category_of(stream: str) -> str:
    """Return the part before the first dash."""
    return stream.partition("-")[0]


REMEMBERED_COMMITS = 100
"""Keyed commits that are remembered: the window in which an idempotency key is recognised."""


class CommitRef(NamedTuple):
    """What an idempotency check needs of a past commit: `version` is that of its last event."""

    id: str
    version: int
    digest: str


class Head(NamedTuple):
    """Where a stream ends, as a read saw it. Version 0: no events.

    An append names the head it follows. A head is never invented: one that no read has seen could
    leave a gap. A stale one is harmless, since the next commit's key is then taken.
    """

    stream: str
    version: int


class CommitPlace(NamedTuple):
    """Where a commit lies that was written together with another: its stream, and the version of its first event."""

    stream: str
    version: int


class Copy(NamedTuple):
    """An event that was written to more than one stream, where it is not at home.

    `version` is its own in this stream; `stream` and `home_version` say where it is at home, by its event's version.
    """

    version: int
    stream: str
    home_version: int


@dataclass(slots=True, eq=False)
class Commit:
    """All events of one accepted command in one stream: stored as one item, so all or none. Nobody changes it.

    `version` is the version of the first event; the others follow. `at` is kept in UTC, to the millisecond, and is
    never before the commit it follows. `digest` tells one command from another under the same id. `siblings` are the
    commits of other streams that were written together with it, all or none, under the same id: see `together`.
    `copies` are those of its events that are at home in one of them: what counts facts passes over them.

    Raises:
        InvalidCommitError: `at` has no form in UTC.
    """

    stream: str
    version: int
    events: tuple[StoredEvent, ...]
    id: str
    at: datetime
    meta: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    snapshot_due: bool = False
    siblings: tuple[CommitPlace, ...] = ()
    copies: tuple[Copy, ...] = ()

    def __post_init__(self) -> None:
        """Make the time what a store will give back."""
        if self.at.tzinfo is not UTC or self.at.microsecond % 1000:
            self.at = _kept(self.at)

    def __eq__(self, other: object) -> bool:
        """Whether all they say is the same: one that was read equals the one that was written, and no other does.

        Events are compared as JSON, because Python takes 1, 1.0 and True for the same.
        """
        return isinstance(other, Commit) and self._said() == other._said() and _same(self.events, other.events)

    __hash__ = None  # type: ignore[assignment] # events and meta are dicts

    @property
    def unread(self) -> str | bytes | None:
        """The events' JSON, if it was read from a store and nobody has asked for the events yet."""
        return None

    @property
    def public_id(self) -> str:
        """An id to show: the same wherever it is shown, and with nothing of a caller's key in it, which `id` may be."""
        return hashlib.sha256(f"{self.stream}\n{self.version}".encode()).hexdigest()[:16]

    @property
    def stored_bytes(self) -> int:
        """How much of it a store has handed over: the bytes of its events as they are stored, 0 if it was made here."""
        return 0

    @property
    def last_version(self) -> int:
        """The version of the last event."""
        return self.version + len(self.events) - 1

    @property
    def head(self) -> Head:
        """The stream's end right after this commit."""
        return Head(self.stream, self.last_version)

    def _said(self) -> tuple[object, ...]:
        """Return all that it says, but for its events."""
        head = self.stream, self.version, self.id, self.digest, self.snapshot_due
        return *head, self.at, self.meta, self.siblings, self.copies

    @property
    def ref(self) -> CommitRef:
        """What an idempotency check needs to remember of it."""
        return CommitRef(self.id, self.last_version, self.digest)


def _kept(at: datetime) -> datetime:
    """Return a time as a store keeps it; one without a zone is refused later, with the stream's name."""
    try:
        in_utc = at if at.utcoffset() is None else at.astimezone(UTC)
    except OverflowError:
        raise InvalidCommitError(f"a commit's time lies in the years 1 to 9999 of UTC: {at.isoformat()}") from None
    return in_utc.replace(microsecond=in_utc.microsecond // 1000 * 1000)


def _same(events: object, others: object) -> bool:
    return json.dumps(events, sort_keys=True) == json.dumps(others, sort_keys=True)


class Snapshot(NamedTuple):
    """The state after `version`, with the keyed commits up to there that idempotency remembers.

    `schema` says which shape the state has: a reader with another one ignores the snapshot.
    """

    stream: str
    version: int
    schema: str
    state: str
    at: datetime
    refs: tuple[CommitRef, ...] = ()

    @property
    def head(self) -> Head:
        """Where the stream ended when it was taken."""
        return Head(self.stream, self.version)


def check_commit(commit: Commit, after: Head | None) -> None:
    """Refuse what must never reach a store.

    Raises:
        InvalidStreamNameError: the stream has no proper name.
        VersionOutOfLineError: the commit does not start right behind `after`.
        InvalidCommitError: no events, no id, a time without a zone, or what should be text is none.
    """
    check_stream_name(commit.stream)
    if commit.version < 1:
        raise VersionOutOfLineError(f"versions start at 1: stream {commit.stream!r}, version {commit.version}")
    if not commit.events or not commit.id:
        raise InvalidCommitError(f"a commit has an id and at least one event: stream {commit.stream!r}")
    if commit.at.utcoffset() is None:
        raise InvalidCommitError(f"a commit's time has a zone: stream {commit.stream!r}, {commit.at.isoformat()}")
    if len(commit.id) > MAX_ID_BYTES // 4 and len(commit.id.encode(errors="replace")) > MAX_ID_BYTES:
        raise InvalidCommitError(f"a commit's id has at most {MAX_ID_BYTES} bytes: stream {commit.stream!r}")
    named = (*(one.stream for one in commit.siblings), *(one.stream for one in commit.copies))
    if not all(map(is_text, (commit.id, commit.digest, *commit.meta, *commit.meta.values(), *named))):
        raise InvalidCommitError(f"a commit's id, digest and metadata are Unicode text: stream {commit.stream!r}")
    if after is not None and (after.stream, after.version + 1) != (commit.stream, commit.version):
        raise VersionOutOfLineError(
            f"stream {commit.stream!r}: version {commit.version} does not follow {after.stream!r} at {after.version}"
        )


def together(commits: Sequence[Commit], guards: Sequence[Head] = ()) -> tuple[Commit, ...]:
    """Return commits that are written together, each with the others as its siblings.

    Raises:
        InvalidCommitError: no stream is named, one is named twice, their ids differ, or one may not be written.
    """
    streams = [*(one.stream for one in commits), *(one.stream for one in guards)]
    if not streams:
        raise InvalidCommitError("a transaction names at least one stream")
    if len(set(streams)) < len(streams):
        twice = next(stream for stream in streams if streams.count(stream) > 1)
        raise InvalidCommitError(f"a transaction names each stream once: {twice!r} is there twice")
    if len({commit.id for commit in commits}) > 1:
        raise InvalidCommitError("the commits of a transaction have one id")
    for commit in commits:
        check_commit(commit, Head(commit.stream, commit.version - 1))
    for guard in guards:
        check_stream_name(guard.stream)
        if guard.version < 0:
            raise VersionOutOfLineError(f"stream {guard.stream!r} can't end at {guard.version}")
    all_of_them = [CommitPlace(one.stream, one.version) for one in commits]
    return tuple(
        replace(commit, siblings=(*all_of_them[:number], *all_of_them[number + 1 :]))
        for number, commit in enumerate(commits)
    )


def read_parts(commit: Commit) -> None:
    """Read what of a commit is still JSON, for whoever has to know at once whether it makes sense.

    Raises:
        BrokenStreamError: it does not; names its stream and version.
    """
    _ = commit.events, commit.at, commit.meta, commit.siblings, commit.copies


def first_gap(version: int, commits: Iterable[Commit]) -> int | None:
    """Return the first version behind `version` that these commits, in order, do not bring; None if they are whole."""
    for commit in commits:
        if commit.version != version + 1:
            return version + 1
        version = commit.last_version
    return None


def contiguous(commits: Iterable[Commit], after: int = 0) -> Iterator[Commit]:
    """Yield a stream's commits, which follow version `after`, as long as each follows the one before.

    Raises:
        BrokenStreamError: one is missing.
    """
    for commit in commits:
        if commit.version != after + 1:
            raise BrokenStreamError(commit.stream, after + 1, "is missing from the event table")
        yield commit
        after = commit.last_version
