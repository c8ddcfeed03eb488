"""The stream side of `make chaos`: the deployed functions behind their deployed mappings, under faults."""

from __future__ import annotations

import copy
import logging
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from app import redrive as app_redrive
from app import settings, telemetry, wiring
from app.directory import DIRECTORY, DirectoryRow
from app.stats import STATS
from eventfold import RowTarget, TallyTarget
from eventfold.errors import StoreUnavailableError
from eventfold.testing.faults import CrashError, Fault, FaultInjector
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import Disorder, StreamPump
from eventfold.testing.shards import StreamReader, stream_arn
from functions.projections import handler as projections
from functions.snapshots import handler as snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from app.users import UserEvent
    from eventfold import Commit, Recorded, Target
    from eventfold.runner import BatchResult
    from eventfold.testing.shards import Record
    from eventfold.testing.turns import Turns

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
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
        self.trimmed: set[str] = set()
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
        targets = (RowTarget(directory, wiring.row_store()), TallyTarget(stats, wiring.tally_store()))
        modules: tuple[Any, ...] = (projections, app_redrive)
        for module in modules:
            module.targets = lambda: targets
        functions: Any = projections
        functions.log_projected = lambda name, _, result: self._note(name, result)
        functions.log_parked = self._note
        functions.log_failure = lambda *_, **__: None

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

    def _note(self, name: str, result: BatchResult) -> None:
        self.counts["commits applied"] += result.applied
        self.counts["duplicates dropped"] += result.duplicates
        self.counts["gaps healed"] += result.healed
        self.counts["released"] += len(result.released)
        self.parked |= {(name, stream) for stream in result.parked}

    def _deliver(self, record: Record) -> Sequence[Record]:
        dice = self._random.random()
        if dice < TRIMMED:
            self.counts["records trimmed"] += 1
            self.trimmed.add(record["dynamodb"]["Keys"]["stream"]["S"])
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

    def lane_worker(self, pump: StreamPump, number: int, *, is_over: Callable[[], bool]) -> Callable[[], None]:
        """Return what works on one lane of a mapping until there is nothing more to come."""

        def work() -> None:
            idle = 0
            while True:
                lane = next((lane for lane in pump.lanes if lane.number == number), None)
                if lane is not None and pump.step(lane):
                    idle = 0
                    continue
                idle += 1
                if number == 0 and idle % 20 == 0 and not pump.fetch() and not pump.waiting and is_over():
                    return
                if number and is_over() and not pump.waiting:
                    return
                self.turns.take()

        return work

    def operator(self, *, is_over: Callable[[], bool]) -> None:
        """Redrive from time to time, as the schedule does; let the read models throttle from time to time."""
        while not is_over():
            for _ in range(self._random.randrange(2000)):
                self.turns.take()
            if self._random.random() < 0.5:  # noqa: PLR2004 - a workload is made of figures
                self.counts["storms"] += 1
                for operation in READ_MODEL_CALLS:
                    for number in range(1, 20):
                        self.faults.at(Fault.THROTTLE, operation, number)
            else:
                self.redrive()

    def redrive(self) -> None:
        """Redrive all that is parked, as the scheduled function does; faults may end it half-way."""
        try:
            done = app_redrive.redrive(report=self._note)
        except (StoreUnavailableError, CrashError):
            self.counts["redrives that failed"] += 1
        else:
            self.counts["streams redriven"] += done.redriven

    def forgotten(self, commits: dict[str, list[Commit]]) -> list[tuple[str, str]]:
        """Return the read models and streams that are behind with nobody to wake them up.

        Not those that are parked, whose records were trimmed, or whose records lie in the on-failure bucket.
        """
        excused = self.trimmed | self.given_up()
        parked = {(one.projection, one.stream) for one in wiring.parked_store().listed()}
        return [
            (target.name, stream)
            for target in self.targets()
            for stream, mark in self.behind(target, commits)
            if stream not in excused and (target.name, stream) not in parked
        ]

    def behind(self, target: Target[Any, Any], commits: dict[str, list[Commit]]) -> list[tuple[str, int]]:
        """Return the streams that a read model has not seen the end of, and how far it has seen them."""
        marks = target.read(list(commits))
        seen = {stream: mark.version for stream, mark in marks.items()}
        return [(s, seen.get(s, 0)) for s, all_ in commits.items() if seen.get(s, 0) != all_[-1].last_version]

    def targets(self) -> tuple[Target[Any, Any], ...]:
        """Return the read models."""
        return app_redrive.targets()

    def given_up(self) -> set[str]:
        """Return the streams whose records lie in the on-failure bucket."""
        keys = [record["dynamodb"].get("Keys") for one in self.pump.given_up for record in one.records]
        return {key["stream"]["S"] for key in keys if key}

    def replay(self) -> None:
        """Bring up to date what only an operator knows of: the streams in the bucket, and those of a stream trimmed."""
        streams = sorted(self.trimmed | self.given_up())
        for target in self.targets():
            self._note(target.name, wiring.runner().redrive(target, streams))
