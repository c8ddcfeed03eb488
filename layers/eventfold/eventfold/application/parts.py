"""The composition root: the one place where real parts are put together, each once for an application.

Parts are imported where they are made: a function waits, when it starts, for those that it uses.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventfold.aggregates.handling import CommandHandler
from eventfold.application.settings import Settings, from_environment
from eventfold.core.unique import Keys
from eventfold.dynamodb import DynamoDBEventStore, create_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from pydantic import BaseModel

    from eventfold.aggregates.transactions import TransactionHandler
    from eventfold.core.decider import Command, Decider
    from eventfold.core.events import Event
    from eventfold.core.unique import ClaimStore, Unique
    from eventfold.dynamodb.controls import DynamoDBControlStore
    from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
    from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
    from eventfold.operations.claims import ClaimBooks
    from eventfold.operations.verify.keys import KeyListing
    from eventfold.read_models.feed import Feed
    from eventfold.read_models.given_up import GivenUpStore
    from eventfold.read_models.live import Generations
    from eventfold.read_models.parking import ParkedStore
    from eventfold.read_models.projections import RowStore
    from eventfold.read_models.projector import ProjectionRunner
    from eventfold.read_models.tallies import TallyStore
    from eventfold.read_models.target import AnyTarget


class Application:
    """Aggregates, each a package, on the tables that the settings name; without settings, the environment's.

    A package has its aggregates as `DECIDERS`. Its module `read_models`, where it has one, lists projections and
    tallies as `READ_MODELS`.
    """

    def __init__(self, *packages: str, settings: Settings | None = None) -> None:
        self.packages = packages
        self._settings = settings
        self._handlers: dict[str, CommandHandler[Any, Any, Any]] = {}

    def on(self, settings: Settings) -> Application:
        """Return this application on other tables: for programs that find the stack by themselves."""
        return type(self)(*self.packages, settings=settings)

    @cached_property
    def settings(self) -> Settings:
        """The settings.

        Raises:
            pydantic.ValidationError: one is missing in the environment, or wrong; names it.
        """
        return self._settings or from_environment()

    @cached_property
    def deciders(self) -> Mapping[str, Decider[Any, Any, Any]]:
        """Every aggregate, by the category of its streams.

        Raises:
            ValueError: two have one category.
        """
        found: list[Decider[Any, Any, Any]] = [
            one for package in self.packages for one in import_module(package).DECIDERS
        ]
        _check_distinct("aggregates have the category", [one.category for one in found])
        return {decider.category: decider for decider in found}

    def handler[C: Command, S: BaseModel, E: Event](self, decider: Decider[C, S, E]) -> CommandHandler[C, S, E]:
        """Return what runs an aggregate's commands, with the states that this process remembers."""
        if decider.category not in self._handlers:
            every, states = self.settings.snapshot_every, self.settings.cached_states
            self._handlers[decider.category] = CommandHandler(
                self.event_store, decider, snapshot_every=every, cached_states=states, keys=self.keys
            )
        return self._handlers[decider.category]

    @cached_property
    def transactions(self) -> TransactionHandler:
        """What runs decisions over several streams, with the states that this process remembers."""
        from eventfold.aggregates.transactions import TransactionHandler

        every, states = self.settings.snapshot_every, self.settings.cached_states
        return TransactionHandler(self.event_store, snapshot_every=every, cached_states=states, keys=self.keys)

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """The client: it holds the connections, and making one costs as much as thirty requests."""
        return create_client(self.settings.aws_endpoint_url)

    @cached_property
    def event_store(self) -> DynamoDBEventStore:
        """The event store."""
        return DynamoDBEventStore(self.dynamodb, self.settings.events_table, self.settings.claims_table)

    @cached_property
    def scannable_store(self) -> ScannableDynamoDBEventStore:
        """The event store for work on all streams."""
        from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore

        return ScannableDynamoDBEventStore(self.dynamodb, self.settings.events_table, self.settings.claims_table)

    @cached_property
    def keys(self) -> Keys:
        """What hashes unique keys; asks for the hash's key when there is one to hash."""
        return Keys(self._secret)

    @cached_property
    def claims(self) -> ClaimStore:
        """Who has which unique key.

        Raises:
            ValueError: the settings name no table.
        """
        from eventfold.dynamodb.claims import DynamoDBClaimStore

        if self.settings.claims_table is None:
            raise ValueError("aggregates have unique keys, and CLAIMS_TABLE names no table")
        return DynamoDBClaimStore(self.dynamodb, self.settings.claims_table)

    @property
    def has_unique_keys(self) -> bool:
        """Whether any aggregate has."""
        return any(decider.unique for decider in self.deciders.values())

    @cached_property
    def claim_books(self) -> ClaimBooks:
        """All streams and claims, to compare them."""
        from eventfold.operations.claims import ClaimBooks

        return ClaimBooks(self.scannable_store, self.claims, self.keys, self.deciders)

    def holder[S: BaseModel](
        self, decider: Decider[Any, S, Any], rule: Unique[S], value: str | tuple[str, ...]
    ) -> str | None:
        """Return the id of the aggregate that has a unique key now; None if nobody has. One request."""
        key = self.keys.stored(decider.category, rule, value)
        stream = self.claims.holders([key]).get(key)
        return stream and stream.removeprefix(f"{decider.category}-")

    def _secret(self) -> bytes:
        from eventfold.dynamodb.secrets import secret

        if self.settings.claims_key is None:
            raise ValueError("aggregates have unique keys, and CLAIMS_KEY names no secret")
        return secret(self.settings.claims_key, self.settings.aws_endpoint_url)

    @cached_property
    def row_store(self) -> RowStore:
        """Where rows are kept."""
        from eventfold.dynamodb.rows import DynamoDBRowStore

        return DynamoDBRowStore(self.dynamodb, self.settings.read_models_table, shards=self.settings.list_shards)

    @cached_property
    def tally_store(self) -> TallyStore:
        """Where counters are kept."""
        from eventfold.dynamodb.tallies import DynamoDBTallyStore

        return DynamoDBTallyStore(self.dynamodb, self.settings.read_models_table, shards=self.settings.tally_shards)

    @cached_property
    def control_store(self) -> DynamoDBControlStore:
        """Where it is kept which generations of read models there are."""
        from eventfold.dynamodb.controls import DynamoDBControlStore

        return DynamoDBControlStore(self.dynamodb, self.settings.read_models_table)

    @cached_property
    def rebuild_store(self) -> DynamoDBRebuildStore:
        """Where it is kept how far a rebuild is, beside the control items."""
        from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore

        return DynamoDBRebuildStore(self.dynamodb, self.settings.read_models_table)

    @cached_property
    def key_listing(self) -> KeyListing:
        """What lists all that read models have."""
        from eventfold.dynamodb.keys import DynamoDBKeyListing

        tallies = [target.name for target in self.targets if target.shared]
        return DynamoDBKeyListing(self.dynamodb, self.settings.read_models_table, tallies)

    @cached_property
    def parked_store(self) -> ParkedStore:
        """Where parked streams are kept."""
        from eventfold.dynamodb.parked import DynamoDBParkedStore

        return DynamoDBParkedStore(self.dynamodb, self.settings.parked_table)

    @cached_property
    def given_up(self) -> GivenUpStore | None:
        """Where the batches are that Lambda gave up on; None where the settings name no bucket."""
        from eventfold.dynamodb.given_up import FailuresBucket

        bucket = self.settings.failures_bucket
        return FailuresBucket(bucket, self.settings.aws_endpoint_url) if bucket else None

    @cached_property
    def targets(self) -> tuple[AnyTarget, ...]:
        """Every read model, under its first generation's name.

        Raises:
            ValueError: two have one name.
        """
        from eventfold.read_models.projections import Projection, RowTarget
        from eventfold.read_models.tallies import TallyTarget

        found = tuple(
            RowTarget(one, self.row_store) if isinstance(one, Projection) else TallyTarget(one, self.tally_store)
            for package in self.packages
            for one in _read_models(package)
        )
        _check_distinct("read models are named", [one.name for one in found])
        return found

    @cached_property
    def generations(self) -> Generations:
        """What this process knows of the read models' generations."""
        from eventfold.read_models.live import Generations

        return Generations(self.control_store, [target.name for target in self.targets])

    @cached_property
    def runner(self) -> ProjectionRunner:
        """What brings read models up to date."""
        from eventfold.read_models.projector import ProjectionRunner

        return ProjectionRunner(self.event_store, self.parked_store, writers=self.settings.projection_writers)

    @cached_property
    def feed(self) -> Feed:
        """What feeds every read model's generations, live and by redrives."""
        from eventfold.read_models.feed import Feed

        return Feed(self.targets, self.runner, self.parked_store, self.generations)


def _check_distinct(what: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two {what} {twice!r}")


def _read_models(package: str) -> tuple[Any, ...]:
    name = f"{package}.read_models"
    try:
        found: tuple[Any, ...] = import_module(name).READ_MODELS
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return ()
    return found
