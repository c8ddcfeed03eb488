"""The stream side of `make chaos`: the deployed functions behind their deployed mappings, under faults."""

from __future__ import annotations

import copy
import logging
import threading
import zlib
from collections import Counter
from copy import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from app import accounts, main, telemetry
from app.accounts.balances import BALANCES
from app.users.directory import DIRECTORY
from app.users.rules import USERS
from app.users.stats import STATS
from drills.chaos.world import KEYS
from eventfold.application import Application
from eventfold.application.rebuilds import rebuild_of
from eventfold.dynamodb import batches
from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.operations.rebuild import filling
from eventfold.operations.rebuild.filling import HOLD_SECONDS
from eventfold.read_models import projector
from eventfold.read_models.feed import Feed
from eventfold.read_models.given_up import GivenUp
from eventfold.read_models.live import Generations
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.tallies import TallyTarget
from eventfold.testing.faults import Fault, FaultInjector
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import Disorder, InvocationContext, StreamPump
from eventfold.testing.shards import StreamReader, stream_arn
from eventfold.testing.turns import InlineExecutor
from functions.projections import handler as projections
from functions.rebuild import handler as rebuild
from functions.redrive import handler as redriving
from functions.snapshots import handler as snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from app.users.directory import DirectoryRow
    from app.users.rules import UserEvent
    from drills.chaos.world import World
    from eventfold import Recorded
    from eventfold.operations.rebuild.steps import Rebuild
    from eventfold.read_models.feed import Fed
    from eventfold.testing import pump
    from eventfold.testing.shards import Record

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
RATES = {
    Fault.THROTTLE: 0.02,
    Fault.ERROR_BEFORE: 0.01,
    Fault.LOST_ANSWER: 0.02,
    Fault.DELAY: 0.01,
    Fault.TRANSACTION_CONFLICT: 0.02,
    Fault.CRASH: 0.004,
}
TOO_OLD, UNREADABLE = 0.01, 0.01
POISONED = 2
"""Every so manyth commit is one that a read model's bug can't digest."""
SECONDS = 60.0
"""The timeout of the functions behind a mapping."""


class Drilled(Application):
    """Users on the world's tables and in its time. Each worker is a process of its own, which feeds for itself."""

    def __init__(self, functions: Functions, client: DynamoDBClient) -> None:
        world = functions.world
        super().__init__(*main.application.packages, settings=world.tables)
        self.dynamodb = client
        self.keys = KEYS
        self.targets = (
            RowTarget(replace(DIRECTORY, project=functions.project), self.row_store),
            RowTarget(BALANCES, self.row_store),
            TallyTarget(replace(STATS, count=functions.count), self.tally_store),
        )
        self.rebuild_store = DynamoDBRebuildStore(client, world.tables.read_models_table, clock=world.clock)
        self._world = world
        self._functions = functions
        self._feeds: dict[str, Feed] = {}

    @property
    def given_up(self) -> Bucket:
        """The failures bucket."""
        return self._functions.bucket

    @property
    def feed(self) -> Feed:
        """The feed of the process that asks, which knows for itself which generations there are."""
        process = threading.current_thread().name
        if process not in self._feeds:
            names = [target.name for target in self.targets]
            generations = Generations(self.control_store, names, clocks=[lambda: self._world.turns.now])
            feed = Feed(self.targets, self.runner, self.parked_store, generations, clock=self._world.clock)
            self._feeds[process] = feed
        return self._feeds[process]


class Functions:
    """The functions as they are deployed, on a client that has faults."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counts: Counter[str] = Counter()
        self.bugs: set[tuple[str, str]] = set()
        """The processes in which a read model's code has a bug at the moment, with its name."""
        self._random = world.dice("functions")
        client = world.client()
        self._take_place(client)
        world.turns.watch(client)
        self.faults = FaultInjector(client, seed=world.seed * 1000 + 999, sleep=world.pause)
        for fault, probability in RATES.items():
            self.faults.rate(fault, probability)
        streams: DynamoDBStreamsClient = boto3.client("dynamodbstreams", endpoint_url=world.url)
        arn = stream_arn(client, world.tables.events_table)
        self.pumps = {
            "projections": self._pump("ProjectionsMapping", StreamReader(streams, arn), projections.lambda_handler),
            "snapshots": self._pump("SnapshotsMapping", StreamReader(streams, arn), self._snapshot),
        }
        self.bucket = Bucket(self.pumps)

    def _pump(self, mapping: str, reader: StreamReader, handler: Callable[[dict[str, Any], Any], object]) -> StreamPump:
        def invoke(event: dict[str, Any], context: object) -> object:
            with self.world.turns.within(SECONDS):
                return handler(event, context)

        deliver = self._deliver if mapping == "ProjectionsMapping" else lambda record: [record]
        return StreamPump(
            EventSourceMapping.from_template(TEMPLATE, mapping),
            reader,
            invoke,
            disorder=Disorder(self.world.seed, duplicates=0.05, late=0.05, deliver=deliver),
        )

    def _snapshot(self, event: dict[str, Any], context: Any) -> object:
        self._app.deciders = {
            USERS.category: self.world.users_of("snapshots"),
            **{one.category: one for one in accounts.DECIDERS},
        }
        return snapshots.lambda_handler(event, context)

    def _take_place(self, client: DynamoDBClient) -> None:
        """Put an application on the world's tables in the functions' place, and its logs into counts."""
        self._app = main.application = Drilled(self, client)
        self.targets = self._app.targets
        telemetry.logger.setLevel(logging.CRITICAL)
        pools: tuple[Any, ...] = (batches, projector, filling)
        for pool in pools:
            pool.ThreadPoolExecutor = InlineExecutor
        handlers: tuple[Any, ...] = (projections, redriving)
        for handler in handlers:
            handler.log_fed = self.note
            handler.log_unreadable = lambda _: None
        machine: Any = rebuild
        machine.rebuild_of = self.rebuild_of

    def rebuild_of(self, _: Application, name: str, owner: str, *, hold_seconds: float = HOLD_SECONDS) -> Rebuild:
        """Return a read model's rebuild, in the world's time."""
        return replace(rebuild_of(self._app, name, owner, hold_seconds=hold_seconds), clock=self.world.clock)

    def feed(self) -> Feed:
        """Return the feed of the process that asks."""
        return self._app.feed

    def project(self, row: DirectoryRow | None, recorded: Recorded[UserEvent]) -> DirectoryRow | None:
        """Project as the directory does, or as its bug does."""
        self._check_poison(DIRECTORY.name, recorded)
        return DIRECTORY.project(row, recorded)

    def count(self, recorded: Recorded[UserEvent]) -> Iterator[tuple[str, str, int]]:
        """Count as the statistics do, or as their bug does."""
        self._check_poison(STATS.name, recorded)
        yield from STATS.count(recorded)

    def _check_poison(self, name: str, recorded: Recorded[UserEvent]) -> None:
        process = threading.current_thread().name
        if (process, name) in self.bugs and zlib.crc32(
            f"{name} {recorded.stream} {recorded.version}".encode()
        ) % POISONED == 0:
            raise ZeroDivisionError

    def note(self, fed: Fed) -> None:
        """Count what became of a generation."""
        self.counts["commits applied"] += fed.result.applied
        self.counts["duplicates dropped"] += fed.result.duplicates
        self.counts["gaps healed"] += fed.result.healed
        self.counts["parked"] += len(fed.result.parked)
        self.counts["released"] += len(fed.result.released)

    def _deliver(self, record: Record) -> Sequence[Record]:
        dice = self._random.random()
        changed = copy.deepcopy(record)
        if dice < TOO_OLD:
            self.counts["records too old"] += 1
            changed["dynamodb"]["ApproximateCreationDateTime"] -= 23 * 3600
        elif dice < TOO_OLD + UNREADABLE:
            self.counts["records unreadable"] += 1
            changed["dynamodb"]["NewImage"]["events"] = {"S": '[{"type"'}
        return [changed]

    def left_in_bucket(self) -> list[pump.GivenUp]:
        """Return what lies in the failures bucket."""
        return [self.bucket.batch(name) for name in self.bucket.names()]

    def redrive(self) -> None:
        """Invoke the redrive function, as the schedule does."""
        with self.world.turns.within(5 * SECONDS):
            redriving.lambda_handler({}, InvocationContext())


class Bucket:
    """The failures bucket, with what the pumps have given up: a batch's name is its pump's, and its number there."""

    def __init__(self, pumps: Mapping[str, StreamPump]) -> None:
        self._pumps = pumps
        self._forgotten: set[str] = set()

    def names(self) -> Iterator[str]:
        """Yield where each batch is kept."""
        for pump, mapping in self._pumps.items():
            names = [f"{pump}/{number}" for number in range(len(mapping.given_up))]
            yield from (name for name in names if name not in self._forgotten)

    def batch(self, name: str) -> pump.GivenUp:
        """Return a batch as the pump gave it up."""
        pump, _, number = name.partition("/")
        return self._pumps[pump].given_up[int(number)]

    def read(self, name: str) -> GivenUp | None:
        """Return a batch; None if it is gone."""
        if name in self._forgotten:
            return None
        streams = [one["dynamodb"]["Keys"]["stream"]["S"] for one in self.batch(name).records]
        return GivenUp(name, tuple(dict.fromkeys(streams)))

    def forget(self, name: str) -> None:
        """Delete a batch; nothing happens if it is gone."""
        self._forgotten.add(name)
