"""The user directory, a read model: its row, its `project`, its query."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from pydantic import BaseModel

from app.lists import RowQueries, place
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
    from eventfold import Recorded


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


DIRECTORY: Projection[DirectoryRow, UserEvent] = Projection(
    name="directory",
    category=USERS.category,
    codec=USERS.codec,
    row=DirectoryRow,
    project=project,
    sort_key=lambda stream, row: place(row.name, stream),
)


class User(DirectoryRow, frozen=True):
    """A directory entry with the version of the last event it has seen."""

    version: int


class Page(BaseModel, frozen=True):
    """Part of the directory; `cursor` asks for what follows and is null at the end."""

    users: list[User]
    cursor: str | None = None


USERS_LISTED = RowQueries(DIRECTORY, User, missing=UserNotFoundError, gone=UserDeletedError)
"""Queries of the directory."""
