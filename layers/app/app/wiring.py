"""The composition root: the one place where real parts are put together, each once a process.

Parts are imported where they are built: a function waits, when it starts, for those that it uses.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from app.settings import settings
from app.users.rules import USERS, User, UserCommand, UserEvent
from eventfold import CommandHandler, Decider
from eventfold.dynamodb import DynamoDBEventStore, create_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from app.history import UserHistory
    from app.users.directory import Directory
    from app.users.stats import UserStats
    from eventfold.dynamodb.controls import DynamoDBControlStore
    from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
    from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
    from eventfold.operations.verify.keys import KeyListing
    from eventfold.read_models.feed import Feed
    from eventfold.read_models.generations import Generations
    from eventfold.read_models.given_up import GivenUpStore
    from eventfold.read_models.parking import ParkedStore
    from eventfold.read_models.projections import RowStore
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.tallies import TallyStore
    from eventfold.read_models.target import AnyTarget

DECIDERS: dict[str, Decider[Any, Any, Any]] = {decider.category: decider for decider in (USERS,)}
"""Every aggregate, by the category of its streams: what the snapshot function can replay."""


@cache
def dynamodb() -> DynamoDBClient:
    """Return the client: it holds the connections, and making one costs as much as thirty requests."""
    return create_client(settings().aws_endpoint_url)


@cache
def event_store() -> DynamoDBEventStore:
    """Return the event store."""
    return DynamoDBEventStore(dynamodb(), settings().events_table)


@cache
def row_store() -> RowStore:
    """Return where read models are kept."""
    from eventfold.dynamodb.rows import DynamoDBRowStore

    return DynamoDBRowStore(dynamodb(), settings().read_models_table, shards=settings().list_shards)


@cache
def tally_store() -> TallyStore:
    """Return where tallies are kept."""
    from eventfold.dynamodb.tallies import DynamoDBTallyStore

    return DynamoDBTallyStore(dynamodb(), settings().read_models_table, shards=settings().tally_shards)


@cache
def control_store() -> DynamoDBControlStore:
    """Return where it is kept which generations of read models there are."""
    from eventfold.dynamodb.controls import DynamoDBControlStore

    return DynamoDBControlStore(dynamodb(), settings().read_models_table)


@cache
def rebuild_store() -> DynamoDBRebuildStore:
    """Return where it is kept how far a rebuild is, beside the control items."""
    from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore

    return DynamoDBRebuildStore(dynamodb(), settings().read_models_table)


@cache
def key_listing() -> KeyListing:
    """Return what lists all that read models have."""
    from eventfold.dynamodb.keys import DynamoDBKeyListing

    tallies = [target.name for target in targets() if target.shared]
    return DynamoDBKeyListing(dynamodb(), settings().read_models_table, tallies)


@cache
def scannable_store() -> ScannableDynamoDBEventStore:
    """Return the event store for work on all streams."""
    from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore

    return ScannableDynamoDBEventStore(dynamodb(), settings().events_table)


@cache
def parked_store() -> ParkedStore:
    """Return where parked streams are kept."""
    from eventfold.dynamodb.parked import DynamoDBParkedStore

    return DynamoDBParkedStore(dynamodb(), settings().parked_table)


@cache
def given_up() -> GivenUpStore | None:
    """Return where the batches are that Lambda gave up on; None where the settings name no bucket."""
    from eventfold.dynamodb.given_up import FailuresBucket

    bucket = settings().failures_bucket
    return FailuresBucket(bucket, settings().aws_endpoint_url) if bucket else None


@cache
def users() -> CommandHandler[UserCommand, User, UserEvent]:
    """Return what runs user commands."""
    chosen = settings()
    return CommandHandler(
        event_store(), USERS, snapshot_every=chosen.snapshot_every, cached_states=chosen.cached_states
    )


@cache
def directory() -> Directory:
    """Return the user directory's queries."""
    from app.users.directory import Directory

    return Directory(row_store(), event_store(), generations())


@cache
def history() -> UserHistory:
    """Return the queries that go to the events."""
    from app.history import UserHistory

    return UserHistory(event_store())


@cache
def stats() -> UserStats:
    """Return the statistics' queries."""
    from app.users.stats import UserStats

    return UserStats(tally_store())


@cache
def targets() -> tuple[AnyTarget, ...]:
    """Return every read model, under its first generation's name."""
    from app.users.directory import DIRECTORY
    from app.users.stats import STATS
    from eventfold.read_models.projections import RowTarget
    from eventfold.read_models.tallies import TallyTarget

    return (RowTarget(DIRECTORY, row_store()), TallyTarget(STATS, tally_store()))


@cache
def generations() -> Generations:
    """Return what this process knows of the read models' generations."""
    from eventfold.read_models.generations import Generations

    return Generations(control_store(), [target.name for target in targets()])


@cache
def runner() -> ProjectionRunner:
    """Return what brings read models up to date."""
    from eventfold.read_models.projector import ProjectionRunner

    return ProjectionRunner(event_store(), parked_store(), writers=settings().projection_writers)


@cache
def feed() -> Feed:
    """Return what feeds every read model's generations, live and by redrives."""
    from eventfold.read_models.feed import Feed

    return Feed(targets(), runner(), parked_store(), generations())
