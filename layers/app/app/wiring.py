"""The composition root: the one place where real parts are put together, each once a process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from app.directory import DIRECTORY, Directory
from app.history import UserHistory
from app.settings import settings
from app.users import USERS, User, UserCommand, UserEvent
from eventfold import CommandHandler, Decider, Projection, ProjectionRunner
from eventfold.dynamodb import DynamoDBEventStore, DynamoDBRowStore, create_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold import EventStore, RowStore

DECIDERS: dict[str, Decider[Any, Any, Any]] = {decider.category: decider for decider in (USERS,)}
"""Every aggregate, by the category of its streams: what the snapshot function can replay."""

PROJECTIONS: tuple[Projection[Any, Any], ...] = (DIRECTORY,)
"""Every read model: what the projection function keeps up to date."""


@cache
def dynamodb() -> DynamoDBClient:
    """Return the client: it holds the connections, and making one costs 0.1 s."""
    return create_client()


@cache
def event_store() -> EventStore:
    """Return the event store."""
    return DynamoDBEventStore(dynamodb(), settings().events_table)


@cache
def row_store() -> RowStore:
    """Return where read models are kept."""
    return DynamoDBRowStore(dynamodb(), settings().read_models_table)


@cache
def users() -> CommandHandler[UserCommand, User, UserEvent]:
    """Return what runs user commands."""
    return CommandHandler(event_store(), USERS, snapshot_every=settings().snapshot_every)


@cache
def directory() -> Directory:
    """Return the user directory's queries."""
    return Directory(row_store())


@cache
def history() -> UserHistory:
    """Return the queries that go to the events."""
    return UserHistory(event_store())


@cache
def projections() -> ProjectionRunner:
    """Return what brings read models up to date."""
    return ProjectionRunner(event_store(), row_store())
