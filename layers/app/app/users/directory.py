"""The user directory, a read model: its row, its `project`, its query."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, assert_never

from pydantic import BaseModel

from app.errors import InvalidCursorError, VersionNotReachedError
from app.users.rules import (
    USERS,
    UserCreated,
    UserDeleted,
    UserDeletedError,
    UserEmailRemoved,
    UserEvent,
    UserNotFoundError,
    UserUpdated,
)
from eventfold.read_models.projections import Projection

if TYPE_CHECKING:
    from eventfold import EventStore, Recorded
    from eventfold.read_models.generations import Generations
    from eventfold.read_models.projections import RowStore

MAX_SORT_CHARACTERS = 200
"""Keeps a sort key within DynamoDB's 1,024 bytes: case folding can make a name longer."""
MAX_SORT_BYTES = 1000
"""What 200 characters and an id take at the most, and less than DynamoDB's 1,024 bytes."""


class DirectoryRow(BaseModel, frozen=True):
    """One user as the directory shows it."""

    id: str
    name: str
    email: str | None = None


def project(row: DirectoryRow | None, recorded: Recorded[UserEvent]) -> DirectoryRow | None:
    """Return the row after one event; None once the user is deleted."""
    event = recorded.event
    match event:
        case UserCreated():
            return DirectoryRow(id=recorded.stream.partition("-")[2], name=event.name, email=event.email)
        case UserUpdated():
            return row and row.model_copy(update=event.model_dump(exclude_none=True))
        case UserEmailRemoved():
            return row and row.model_copy(update={"email": None})
        case UserDeleted():
            return None
        case _:
            assert_never(event)


def folded(name: str) -> str:
    """Return a name as the directory orders and searches it: without regard to case."""
    return name.casefold()[:MAX_SORT_CHARACTERS]


DIRECTORY: Projection[DirectoryRow, UserEvent] = Projection(
    name="directory",
    category=USERS.category,
    codec=USERS.codec,
    row=DirectoryRow,
    project=project,
    # The id behind the name makes each sort key unique, so that a cursor always names one place in the list.
    sort_key=lambda stream, row: f"{folded(row.name)}\0{stream}",
)


class User(DirectoryRow, frozen=True):
    """A directory entry with the version of the last event it has seen."""

    version: int


class Page(BaseModel, frozen=True):
    """Part of the directory; `cursor` asks for what follows and is null at the end."""

    users: list[User]
    cursor: str | None = None


class Directory:
    """Answers queries from the directory's rows, and from the events where a row is behind."""

    def __init__(self, rows: RowStore, store: EventStore, generations: Generations) -> None:
        self._rows = rows
        self._store = store
        self._generations = generations

    def get(self, id_: str, min_version: int = 0) -> User:
        """Return one user, never older than `min_version`. One request; one more where the row is behind.

        Raises:
            UserNotFoundError: nobody has this id, or its creation is not projected yet.
            UserDeletedError: there was such a user.
            VersionNotReachedError: the user has not come to that version.
        """
        stream = USERS.stream(id_)
        row = self._rows.get_active(DIRECTORY.name, [stream]).get(stream)
        if min_version > (row.version if row else 0):
            row = DIRECTORY.catch_up(self._store, stream, row)
        if row is None:
            raise UserNotFoundError
        if row.data is None:
            raise UserDeletedError  # Whatever the version asked for: a deleted user comes to no other.
        if row.version < min_version:
            raise VersionNotReachedError
        return User(version=row.version, **DirectoryRow.model_validate_json(row.data).model_dump())

    def find(self, prefix: str, limit: int, cursor: str | None) -> Page:
        """Return users whose name begins with `prefix`, in order of name, at most `limit`.

        Raises:
            InvalidCursorError: the cursor is not from a query with this prefix.
        """
        prefix = folded(prefix)
        after = _read_cursor(cursor, prefix) if cursor else None
        shown = self._generations.shown(DIRECTORY.name)
        rows = self._rows.listed(shown, prefix=prefix, after=after, limit=limit + 1)
        users = [
            User(version=row.version, **DirectoryRow.model_validate_json(row.data).model_dump())
            for row in rows[:limit]
            if row.data is not None
        ]
        return Page(users=users, cursor=_cursor(rows[limit - 1].sort) if len(rows) > limit else None)


def _cursor(sort: str | None) -> str | None:
    return base64.urlsafe_b64encode(sort.encode()).decode().rstrip("=") if sort else None


def _read_cursor(cursor: str, prefix: str) -> str:
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidCursorError from error
    # All that a cursor can do is to name a place within the list that its caller may read anyway.
    if not after.startswith(prefix) or f"\0{USERS.category}-" not in after or len(after.encode()) > MAX_SORT_BYTES:
        raise InvalidCursorError
    return after
