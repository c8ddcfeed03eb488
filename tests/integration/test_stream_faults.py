"""The deployed functions behind their deployed mappings, on a real stream, with one fault at a time."""

from __future__ import annotations

import copy
import logging
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from app import main, telemetry
from app.users.directory import DIRECTORY
from app.users.rules import USERS, UserCreated, UserDeleted, UserUpdated
from app.users.stats import STATS, TOTAL
from eventfold import Commit, Head
from eventfold.read_models.feed import Feed
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.tallies import TallyTarget
from eventfold.testing.checker import check_rows, check_snapshots, check_tally, read_table
from eventfold.testing.faults import ANY, Fault, FaultInjector, pauses
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import Disorder, StreamPump
from eventfold.testing.shards import StreamReader, stream_arn
from functions.projections import handler as projections
from functions.snapshots import handler as snapshots
from tests.functions.application import forget
from tests.support import ROOT, create_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from app.users.rules import UserEvent
    from eventfold import Recorded
    from eventfold.application import Settings
    from eventfold.read_models.parking import Parked
    from eventfold.testing.checker import Finding
    from eventfold.testing.shards import Record

pytestmark = pytest.mark.dynamodb_local

START = datetime(2026, 1, 1, 23, 59, 58, tzinfo=UTC)
LIFE: list[UserEvent] = [UserCreated(name="A"), UserUpdated(name="B"), UserUpdated(email="a@b"), UserDeleted()]


class Stack:
    """The functions on DynamoDB Local; `client` is theirs, `watcher` sees past its faults."""

    def __init__(self, watcher: DynamoDBClient, tables: Settings) -> None:
        self.watcher = watcher
        self.tables = tables
        self.client = main.application.dynamodb

    def append(self, id_: str, *events: UserEvent, due: int = 0) -> None:
        """Append events, a commit each, one second apart; the commit of version `due` asks for a snapshot."""
        stream = USERS.stream(id_)
        for version, event in enumerate(events, start=1):
            at = START + timedelta(seconds=version)
            commit = Commit(stream, version, (USERS.codec.encode(event),), f"c{version}", at)
            commit = replace(commit, snapshot_due=version == due)
            main.application.event_store.append(commit, after=Head(stream, version - 1))

    def pump(self, mapping: str = "ProjectionsMapping", disorder: Disorder | None = None) -> StreamPump:
        handler = projections if mapping == "ProjectionsMapping" else snapshots
        streams: DynamoDBStreamsClient = boto3.client("dynamodbstreams")
        return StreamPump(
            EventSourceMapping.from_template(ROOT / "template.yaml", mapping),
            StreamReader(streams, stream_arn(self.watcher, self.tables.events_table)),
            handler.lambda_handler,
            disorder=disorder,
        )

    def wrong(self) -> list[Finding]:
        """Return where read models and snapshots are not what the events say."""
        items = list(read_table(self.watcher, self.tables.events_table))
        rows = main.application.row_store.get(DIRECTORY.name, sorted({item.stream for item in items}))
        counted = main.application.tally_store.totals(STATS.name, [TOTAL, "2026-01"])
        return [
            *check_rows(DIRECTORY, items, rows),
            *check_tally(STATS, items, counted),
            *check_snapshots(USERS, items),
        ]

    def parked(self) -> list[Parked]:
        return list(main.application.parked_store.listed())

    def redrive(self) -> None:
        main.application.feed.redrive()


@pytest.fixture
def stack(
    local_client: DynamoDBClient, local_tables: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    events, rows = local_tables
    parked = f"{events}-parked"
    create_table(local_client, "ParkedTable", parked)
    for name, value in {"EVENTS_TABLE": events, "READ_MODELS_TABLE": rows, "PARKED_TABLE": parked}.items():
        monkeypatch.setenv(name, value)
    for name in ("log_fed", "log_unreadable"):
        monkeypatch.setattr(projections, name, lambda *_, **__: None)
    level = telemetry.logger.log_level
    telemetry.logger.setLevel(logging.CRITICAL)
    forget()
    with pauses(lambda _: None):
        yield Stack(local_client, main.application.settings)
    forget()
    telemetry.logger.setLevel(level)


def test_in_fair_weather_all_is_projected(stack: Stack) -> None:
    stack.append("1", *LIFE)
    stack.append("2", *LIFE[:3])
    assert stack.wrong() != []
    pump = stack.pump()
    pump.drain()
    assert stack.wrong() == []
    assert pump.counts["failures"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_function_may_die_before_or_after_any_of_its_requests(stack: Stack, seed: int) -> None:
    pump = stack.pump()
    crashes = 0
    for number in range(1, 60):
        stack.append(str(number), *LIFE[:3])
        with FaultInjector(stack.client, seed=seed).at(Fault.CRASH, ANY, number) as faults:
            pump.drain()
        if not faults.counts:
            break
        crashes += 1
        assert stack.wrong() == []
    assert crashes > 8
    assert pump.counts["failures"] == crashes
    assert stack.parked() == []


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR_BEFORE, Fault.LOST_ANSWER, Fault.TRANSACTION_CONFLICT])
def test_read_models_that_fail_for_a_while_end_right(stack: Stack, fault: Fault) -> None:
    for number in range(5):
        stack.append(str(number), *LIFE[: 2 + number % 3])
    pump = stack.pump()
    with FaultInjector(stack.client) as faults:
        for operation in ("PutItem", "TransactWriteItems", "BatchGetItem"):
            for number in range(1, 12):
                faults.at(fault, operation, number)
        pump.drain()
    assert pump.given_up == []
    for _ in range(3):
        stack.redrive()
    assert stack.parked() == []
    assert stack.wrong() == []


def test_a_lost_answer_neither_parks_nor_doubles(stack: Stack) -> None:
    stack.append("1", *LIFE)
    with FaultInjector(stack.client) as faults:
        for operation in ("PutItem", "TransactWriteItems", "BatchGetItem"):
            faults.at(Fault.LOST_ANSWER, operation, 1)
        stack.pump().drain()
    assert faults.counts[Fault.LOST_ANSWER] == 3
    assert stack.parked() == []
    assert stack.wrong() == []


def test_a_record_that_can_not_be_decoded_is_a_wake_up_all_the_same(stack: Stack) -> None:
    def spoil(record: Record) -> list[Record]:
        spoilt = copy.deepcopy(record)
        spoilt["dynamodb"]["NewImage"]["events"] = {"S": "{"}
        return [spoilt]

    stack.append("1", *LIFE[:2])
    pump = stack.pump(disorder=Disorder(deliver=spoil))
    pump.drain()
    assert pump.given_up == []
    assert stack.wrong() == []


def test_a_record_without_a_name_is_given_up_whole_and_alone(stack: Stack) -> None:
    def add_nonsense(record: Record) -> list[Record]:
        nonsense = copy.deepcopy(record)
        del nonsense["dynamodb"]["Keys"], nonsense["dynamodb"]["NewImage"]["stream"]
        nonsense["dynamodb"]["SequenceNumber"] += "0"
        return [record, nonsense]

    stack.append("1", UserCreated(name="A"))
    stack.append("2", *LIFE)
    pump = stack.pump(disorder=Disorder(deliver=add_nonsense))
    pump.drain()
    assert stack.wrong() == []
    lost = [record for one in pump.given_up for record in one.records]
    assert len(lost) == 5
    assert all("Keys" not in record["dynamodb"] and "NewImage" in record["dynamodb"] for record in lost)


def test_a_stream_that_was_trimmed_is_caught_up_from_the_table(stack: Stack) -> None:
    def trim(record: Record) -> list[Record]:
        return [record] if record["dynamodb"]["Keys"]["version"]["N"] == "3" else []

    stack.append("1", *LIFE[:3])
    stack.append("2", *LIFE[:3])
    stack.pump(disorder=Disorder(deliver=trim)).drain()
    assert stack.wrong() == []


@pytest.mark.parametrize("seed", range(3))
def test_duplicated_delayed_and_reordered_records_change_nothing(stack: Stack, seed: int) -> None:
    for number in range(8):
        stack.append(str(number), *LIFE[: 2 + number % 3], due=2)
    for mapping in ("ProjectionsMapping", "SnapshotsMapping"):
        pump = stack.pump(mapping, Disorder(seed, duplicates=0.5, late=0.4))
        pump.drain()
        assert pump.counts["late"] > 0
    assert stack.wrong() == []
    assert stack.parked() == []
    items = list(read_table(stack.watcher, stack.tables.events_table))
    assert sum(not isinstance(item, Commit) for item in items) == 8


def test_one_poisoned_stream_is_parked_the_others_flow_on_and_redrive_catches_up(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def project(row: Any, recorded: Recorded[UserEvent]) -> Any:
        if recorded.stream == "user-2" and recorded.version >= 2:
            raise ZeroDivisionError
        return DIRECTORY.project(row, recorded)

    for number in (1, 2, 3):
        stack.append(str(number), *LIFE[:3])
    targets = (
        RowTarget(replace(DIRECTORY, project=project), main.application.row_store),
        TallyTarget(STATS, main.application.tally_store),
    )
    with monkeypatch.context() as poisoned:
        feed = Feed(targets, main.application.runner, main.application.parked_store, main.application.generations)
        poisoned.setattr(main.application, "feed", feed)
        pump = stack.pump()
        pump.drain()
    assert pump.given_up == []
    assert {one.stream for one in stack.wrong()} == {"user-2"}
    assert [(one.projection, one.stream) for one in stack.parked()] == [("directory", "user-2")]
    stack.redrive()
    assert stack.parked() == []
    assert stack.wrong() == []


def test_snapshots_survive_crashes_between_their_requests(stack: Stack) -> None:
    stack.append("1", *LIFE[:3], due=3)
    for number in (1, 2, 3):
        with FaultInjector(stack.client, seed=number).at(Fault.CRASH, ANY, number) as faults:
            pump = stack.pump("SnapshotsMapping")
            pump.drain()
        assert pump.given_up == []
        assert pump.counts["failures"] == faults.counts[Fault.CRASH]
    items = list(read_table(stack.watcher, stack.tables.events_table))
    assert sum(not isinstance(item, Commit) for item in items) == 1
    assert [finding for finding in stack.wrong() if "snapshot" in finding.detail] == []
