"""What a stream is made of: commits, and snapshots between them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from eventfold.core.errors import InvalidCommitError, InvalidStreamNameError, VersionOutOfLineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from eventfold.core.stored import StoredEvent

# A DynamoDB partition key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_STREAM_NAME_BYTES = 2048


def stream_name(category: str, id_: str) -> str:
    """Return `category-id`. A category has no dash, so the first dash parts the two.

    Raises:
        InvalidStreamNameError: either part is empty, or the name is over 2,048 bytes.
    """
    name = f"{category}-{id_}"
    if "-" in category:
        raise InvalidStreamNameError(f"the category {category!r} has a dash")
    check_stream_name(name)
    return name


def check_stream_name(name: str) -> None:
    """Refuse a stream name that is not `category-id` or does not fit a DynamoDB key.

    Raises:
        InvalidStreamNameError: names what is wrong.
    """
    category, _, id_ = name.partition("-")
    if not category or not id_:
        raise InvalidStreamNameError(f"a stream is named category-id, both not empty, not {name!r}")
    if len(name.encode(errors="surrogatepass")) > MAX_STREAM_NAME_BYTES:
        raise InvalidStreamNameError(f"a stream name has at most {MAX_STREAM_NAME_BYTES} bytes: {name[:40]!r}...")


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


@dataclass(slots=True, eq=False)
class Commit:
    """All events of one accepted command: stored as one item, so all or none. Nobody changes it.

    `version` is the version of the first event; the others follow. `at` is UTC, to the millisecond,
    never before the commit it follows. `digest` tells one command from another under the same id.
    """

    stream: str
    version: int
    events: tuple[StoredEvent, ...]
    id: str
    at: datetime
    meta: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    snapshot_due: bool = False

    def __eq__(self, other: object) -> bool:
        """Whether all they say is the same: one that was read equals the one that was written."""
        return isinstance(other, Commit) and all(getattr(self, one) == getattr(other, one) for one in _COMMIT_FIELDS)

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

    def is_same(self, other: Commit) -> bool:
        """Whether both were made by one and the same command: written twice, it is one commit."""
        return (self.stream, self.version, self.id, self.digest) == (
            other.stream,
            other.version,
            other.id,
            other.digest,
        )

    @property
    def ref(self) -> CommitRef:
        """What an idempotency check needs to remember of it."""
        return CommitRef(self.id, self.last_version, self.digest)


_COMMIT_FIELDS = tuple(one.name for one in fields(Commit))


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


def check_commit(commit: Commit, after: Head | None) -> None:
    """Refuse what must never reach a store.

    Raises:
        InvalidStreamNameError: the stream has no proper name.
        VersionOutOfLineError: the commit does not start right behind `after`.
        InvalidCommitError: no events, no id, or a time without a zone.
    """
    check_stream_name(commit.stream)
    if commit.version < 1:
        raise VersionOutOfLineError(f"versions start at 1: stream {commit.stream!r}, version {commit.version}")
    if not commit.events or not commit.id:
        raise InvalidCommitError(f"a commit has an id and at least one event: stream {commit.stream!r}")
    if commit.at.tzinfo is None:
        raise InvalidCommitError(f"a commit's time has a zone: stream {commit.stream!r}, {commit.at.isoformat()}")
    if after is not None and (after.stream, after.version + 1) != (commit.stream, commit.version):
        raise VersionOutOfLineError(
            f"stream {commit.stream!r}: version {commit.version} does not follow {after.stream!r} at {after.version}"
        )


def read_parts(commit: Commit) -> None:
    """Read what of a commit is still JSON, for whoever has to know at once whether it makes sense.

    Raises:
        BrokenStreamError: it does not; names its stream and version.
    """
    _ = commit.events, commit.at, commit.meta


def first_gap(version: int, commits: Iterable[Commit]) -> int | None:
    """Return the first version behind `version` that these commits, in order, do not bring; None if they are whole."""
    for commit in commits:
        if commit.version != version + 1:
            return version + 1
        version = commit.last_version
    return None
