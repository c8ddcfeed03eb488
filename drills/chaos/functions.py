"""The stream side of `make chaos`: the deployed functions behind their deployed mappings, under faults."""

from __future__ import annotations

import copy
import logging
import random
from collections import Counter
from copy import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from app import settings, telemetry, wiring
from app.users.directory import DIRECTORY, DirectoryRow
from app.users.stats import STATS
from eventfold.core.errors import StoreUnavailableError
from eventfold.read_models.feed import Fed, Feed
from eventfold.read_models.generations import Generations
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.tallies import TallyTarget
from eventfold.testing.faults import CrashError, Fault, FaultInjector
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import Disorder, StreamPump
from eventfold.testing.shards import StreamReader, stream_arn
from functions.projections import handler as projections
from functions.snapshots import handler as snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from app.users.rules import UserEvent
    from eventfold import Recorded
    from eventfold.read_models.target import AnyTarget
    from eventfold.testing.shards import Record
    from eventfold.testing.turns import Turns

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
RATES = {
    Fault.THROTTLE: 0.02,
    Fault.ERROR_BEFORE: 0.01,
    Fault.LOST_ANSWER: 0.02,
    Fault.DELAY: 0.01,
    Fault.TRANSACTION_CONFLICT: 0.02,
    Fault.CRASH: 0.004,
}
READ_MODEL_CALLS = ("BatchGetItem", "PutItem", "TransactWriteItems")
TRIMMED, UNREADABLE, NAMELESS = 0.01, 0.01, 0.001
POISONED = 7
"""Every so manyth user is one that a read model can't digest, until it is fixed."""


class Functions:
    """The projection, snapshot and redrive functions as they are deployed, on a client that has faults."""

    def __init__(self, turns: Turns, url: str, tables: settings.Settings, seed: int) -> None:
        self.turns = turns
        self.counts: Counter[str] = Counter()
        self.parked: set[tuple[str, str]] = set()
        self.trimmed: set[tuple[str, str]] = set()
        self.fixed = False
        self._random = random.Random(f"{seed}/functions")  # noqa: S311 - a workload, not a secret
        self._take_place(tables)
        client = wiring.dynamodb()
        turns.watch(client)
        self.faults = FaultInjector(client, seed=seed * 1000 + 999, sleep=turns.take)
        for fault, probability in RATES.items():
            self.faults.rate(fault, probability)
        streams: DynamoDBStreamsClient = boto3.client("dynamodbstreams", endpoint_url=url)
        arn = stream_arn(client, tables.events_table)
        disorder = Disorder(seed, duplicates=0.05, late=0.05, deliver=self._deliver)
        self.pump = StreamPump(
            EventSourceMapping.from_template(TEMPLATE, "ProjectionsMapping"),
            StreamReader(streams, arn),
            projections.lambda_handler,
            disorder=disorder,
        )
        self.snapshots = StreamPump(
            EventSourceMapping.from_template(TEMPLATE, "SnapshotsMapping"),
            StreamReader(streams, arn),
            snapshots.lambda_handler,
            disorder=Disorder(seed, duplicates=0.05, late=0.05),
        )

    def _take_place(self, tables: settings.Settings) -> None:
        """Wire the functions to the tables, their read models to a fault, and what they log to the counts."""
        settings.use(tables)
        telemetry.logger.setLevel(logging.CRITICAL)
        directory = replace(DIRECTORY, project=self._project)
        stats = replace(STATS, count=self._count)
        self.targets: tuple[AnyTarget, ...] = (
            RowTarget(directory, wiring.row_store()),
            TallyTarget(stats, wiring.tally_store()),
        )
        # Read once and whenever asked for anew, never by the clock: a seed is the same run each time.
        names = [target.name for target in self.targets]
        generations = Generations(wiring.control_store(), names, clock=lambda: 0)
        # Whether a batch is late, and parked where its read models can't be read, is drawn too.
        clock = partial(self._random.choice, (datetime.fromtimestamp(0, UTC), datetime.max.replace(tzinfo=UTC)))
        self.feed = Feed(self.targets, wiring.runner(), wiring.parked_store(), generations, clock=clock)
        functions: Any = projections
        functions.feed = lambda: self.feed
        functions.log_fed = self._note
        functions.log_unreadable = lambda _: None

    def _project(self, row: DirectoryRow | None, recorded: Recorded[UserEvent]) -> DirectoryRow | None:
        self._check_poison(recorded, 0)
        return DIRECTORY.project(row, recorded)

    def _count(self, recorded: Recorded[UserEvent]) -> Iterator[tuple[str, str, int]]:
        self._check_poison(recorded, 1)
        yield from STATS.count(recorded)

    def _check_poison(self, recorded: Recorded[UserEvent], which: int) -> None:
        number = int(recorded.stream.rpartition("-")[2])
        if not self.fixed and number % POISONED == which and recorded.version >= 2:  # noqa: PLR2004 - not from the start
            raise ZeroDivisionError

    def _note(self, fed: Fed) -> None:
        result = fed.result
        self.counts["commits applied"] += result.applied
        self.counts["duplicates dropped"] += result.duplicates
        self.counts["gaps healed"] += result.healed
        self.counts["released"] += len(result.released)
        self.parked |= {(fed.name, stream) for stream in result.parked}

    def _deliver(self, record: Record) -> Sequence[Record]:
        dice = self._random.random()
        if dice < TRIMMED:
            self.counts["records trimmed"] += 1
            self.trimmed.add(_key(record))
            return []
        if dice < TRIMMED + UNREADABLE:
            self.counts["records unreadable"] += 1
            unreadable = copy.deepcopy(record)
            unreadable["dynamodb"]["NewImage"]["events"] = {"S": '[{"type"'}
            return [unreadable]
        if dice < TRIMMED + UNREADABLE + NAMELESS:
            self.counts["records without a name"] += 1
            nameless = copy.deepcopy(record)
            del nameless["dynamodb"]["Keys"], nameless["dynamodb"]["NewImage"]["stream"]
            nameless["dynamodb"]["SequenceNumber"] += "-nameless"
            return [record, nameless]
        return [record]

    def operator(self, *, is_over: Callable[[], bool]) -> None:
        """Redrive from time to time, as the schedule does; meanwhile let read models throttle, break, and be fixed."""
        while not is_over():
            for _ in range(self._random.randrange(30)):
                self.turns.take()
            dice = self._random.random()
            if dice < 0.1:  # noqa: PLR2004 - a workload is made of figures
                self.counts["fixes and regressions"] += 1
                self.fixed = not self.fixed
            elif dice < 0.3:  # noqa: PLR2004 - as above
                self.counts["storms"] += 1
                for operation in READ_MODEL_CALLS:
                    for number in range(1, 20):
                        self.faults.at(Fault.THROTTLE, operation, number)
            else:
                self.redrive()

    def redrive(self) -> None:
        """Redrive all that is parked, as the scheduled function does; faults may end it half-way."""
        try:
            done = self.feed.redrive(report=self._note)
        except (StoreUnavailableError, CrashError):
            self.counts["redrives that failed"] += 1
        else:
            self.counts["streams redriven"] += done.redriven

    def replay(self) -> None:
        """Bring up to date what only an operator knows of: the streams in the bucket, and those of a stream trimmed."""
        streams = sorted({stream for stream, _ in self.unseen()})
        self.feed.project([], streams, report=self._note)

    def unseen(self) -> set[tuple[str, str]]:
        """Return the commits, as stream and version, whose records were trimmed or lie in the on-failure bucket."""
        given_up = {
            _key(record) for one in self.pump.given_up for record in one.records if "Keys" in record["dynamodb"]
        }
        return self.trimmed | given_up


def _key(record: Record) -> tuple[str, str]:
    keys = record["dynamodb"]["Keys"]
    return keys["stream"]["S"], keys["version"]["N"]
