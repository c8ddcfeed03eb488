"""What happened to a user, and how it was: straight from the events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, JsonValue

from app.users.rules import USERS, UserNotFoundError
from eventfold import load, load_at, load_version
from eventfold.aggregates.history import read_page
from eventfold.core.store import end_of

if TYPE_CHECKING:
    from app.users.rules import User, UserEvent
    from eventfold import EventStore, Loaded, Recorded


class AuditEntry(BaseModel, frozen=True):
    """One event: what, when, by which commit, by whom. Events of one commit have the same `commit_id`."""

    version: int
    type: str
    data: dict[str, JsonValue]
    at: datetime
    commit_id: str
    actor: str | None = None


class AuditTrail(BaseModel, frozen=True):
    """Part of a user's history; `after` asks for what follows and is null at the end."""

    events: list[AuditEntry]
    after: int | None = None


class PastUser(BaseModel, frozen=True):
    """A user as it was right after `version`, which was committed at `at`."""

    id: str
    version: int
    at: datetime
    status: Literal["active", "deleted"]
    name: str
    email: str | None = None


class UserHistory:
    """Answers queries from the event table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def events(self, id_: str, after: int, limit: int) -> AuditTrail:
        """Return up to `limit` events behind version `after`.

        Raises:
            UserNotFoundError: there is no such user.
        """
        page = read_page(self._store, USERS.codec, USERS.stream(id_), after=after, limit=limit)
        if not page.events and (after == 0 or end_of(self._store, USERS.stream(id_)).version == 0):
            raise UserNotFoundError
        entries = [_entry(recorded) for recorded in page.events]
        return AuditTrail(events=entries, after=entries[-1].version if page.more else None)

    def state(self, id_: str, version: int | None, at: datetime | None) -> PastUser:
        """Return the user at a version, at a moment, or now.

        Raises:
            UserNotFoundError: it did not exist then, or has not reached that version yet.
        """
        loaded = self._load(USERS.stream(id_), version, at)
        if loaded.at is None or loaded.state.status == "unknown" or loaded.version < (version or 0):
            raise UserNotFoundError
        return PastUser(id=id_, version=loaded.version, at=loaded.at, **loaded.state.model_dump())

    def _load(self, stream: str, version: int | None, at: datetime | None) -> Loaded[User]:
        if version is not None:
            return load_version(self._store, USERS, stream, version)
        if at is not None:
            return load_at(self._store, USERS, stream, at)
        return load(self._store, USERS, stream)


def _entry(recorded: Recorded[UserEvent]) -> AuditEntry:
    return AuditEntry(
        version=recorded.version,
        type=recorded.event.event_name,
        data=recorded.event.model_dump(mode="json", exclude_none=True),
        at=recorded.at,
        commit_id=recorded.commit.public_id,
        actor=recorded.meta.get("actor"),
    )
