"""What each operation costs, in requests and capacity units, as DynamoDB Local counts them: exact on any machine."""

from __future__ import annotations

import random
import string
from contextlib import suppress
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Backoff, CommandHandler, Head, Request, StoredEvent, load, take_snapshot
from eventfold.aggregates.history import read_events
from eventfold.core.errors import ItemTooLargeError, VersionConflictError
from eventfold.core.store import end_of
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.items import MAX_ITEM_BYTES, commit_to_item, item_bytes
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.memory import MemoryParkedStore
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.testing import Meter
from eventfold.testing.commits import AT, commit
from tests.domain import COUNTER, TOTALS, Add, TooMuchError
from tests.support import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local


@pytest.fixture
def store(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> DynamoDBEventStore:
    return DynamoDBEventStore(local_client, local_tables[0])


@pytest.fixture
def rows(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> DynamoDBRowStore:
    return DynamoDBRowStore(local_client, local_tables[1])


def test_an_append_is_one_request_and_one_write_unit(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    with Meter.on(local_client) as meter:
        store.append(commit("thing-1", 1), after=end_of(store, "thing-1"))
    assert meter.requests == ["Query", "PutItem"]
    with Meter.on(local_client) as meter:
        store.append(commit("thing-2", 1), after=commit("thing-2", 1).head.__class__("thing-2", 0))
    assert (meter.requests, meter.capacity) == (["PutItem"], 1)


def test_a_blind_append_is_one_request_more(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    with Meter.on(local_client) as meter:
        store.append(commit("thing-1", 1), after=None)
        store.append(commit("thing-1", 2), after=None)
    assert meter.requests == ["Query", "PutItem"] * 2
    assert meter.capacity <= 2 * (1 + 1)


def test_five_events_are_one_request_and_their_size_in_write_units(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    events = tuple(StoredEvent(type="Happened", v=1, data={"text": random_text(n)}) for n in range(5))
    five = replace(commit("thing-1", 1), events=events)
    with Meter.on(local_client) as meter:
        store.append(five, after=Head("thing-1", 0))
    assert meter.requests == ["PutItem"]
    assert 1024 < item_bytes(commit_to_item(five)) <= 2048
    assert meter.capacity == 2


@pytest.mark.parametrize(("text", "kind"), [(" Ada Lovelace" * 20, "B"), ("", "S")])
def test_a_commit_is_compressed_where_that_saves_a_write_unit(
    local_client: DynamoDBClient, store: DynamoDBEventStore, text: str, kind: str
) -> None:
    five = commit("thing-1", 1, 5, text=text)
    with Meter.on(local_client) as meter:
        store.append(five, after=Head("thing-1", 0))
    assert meter.capacity == 1
    assert list(commit_to_item(five)["events"]) == [kind]
    assert list(store.newest_first("thing-1")) == [five]


def test_commits_together_are_one_request_with_a_write_each_and_a_check_a_guard(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    """DynamoDB takes two units a KB for each write, and two for a check; DynamoDB Local does not say what it takes.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-capacity-handling
    """
    sent: list[Any] = []
    local_client.meta.events.register(
        "before-parameter-build.dynamodb.TransactWriteItems", lambda params, **_: sent.extend(params["TransactItems"])
    )
    commits = [commit(f"thing-{n}", 1, id="together") for n in range(3)]
    with Meter.on(local_client) as meter:
        store.append_together(commits, guards=[Head("thing-guard", 0), Head("thing-other", 7)])
    assert meter.requests == ["TransactWriteItems"]
    assert [list(one) for one in sent] == [["Put"]] * 3 + [["ConditionCheck"]] * 2
    assert all(item_bytes(one["Put"]["Item"]) < 1024 for one in sent[:3]), "a unit each, twice"
    assert [one["ConditionCheck"]["Key"]["version"] for one in sent[3:]] == [{"N": "1"}, {"N": "8"}]


def test_one_commit_by_itself_costs_what_an_append_costs(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    with Meter.on(local_client) as meter:
        store.append_together([commit("thing-1", 1)])
    assert (meter.requests, meter.capacity) == (["PutItem"], 1)


def test_a_command_is_one_read_and_one_write(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    handler = CommandHandler(store, COUNTER, cached_states=0)
    for _ in range(10):
        handler.handle("1", Add(amount=1))
    with Meter.on(local_client) as meter:
        handler.handle("1", Add(amount=1))
    assert meter.requests == ["Query", "PutItem"]
    assert meter.capacity == 1 + 0.5
    with Meter.on(local_client) as meter:
        handler.handle("1", Add(amount=0))
    assert meter.requests == ["Query", "Query"]
    assert meter.capacity == 0.5 + 1


def test_a_command_on_a_new_aggregate_is_one_write(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    with Meter.on(local_client) as meter:
        CommandHandler(store, COUNTER).handle("1", Add(amount=1), Request(new=True))
    assert (meter.requests, meter.capacity) == (["PutItem"], 1)


def test_a_command_on_an_aggregate_that_the_process_knows_is_one_write(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    handler = CommandHandler(store, COUNTER)
    handler.handle("1", Add(amount=1))
    with Meter.on(local_client) as meter:
        handler.handle("1", Add(amount=1))
    assert (meter.requests, meter.capacity) == (["PutItem"], 1)


def test_a_refusal_or_nothing_to_do_is_looked_at_again_consistently_and_writes_nothing(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    handler = CommandHandler(store, COUNTER)
    handler.handle("1", Add(amount=1))
    stranger = CommandHandler(store, COUNTER, cached_states=0)
    for amount in (0, 2_000_000):
        with Meter.on(local_client) as meter, suppress(TooMuchError):
            handler.handle("1", Add(amount=amount))  # Known to the process.
        assert (meter.requests, meter.capacity) == (["Query"], 1)
        with Meter.on(local_client) as meter, suppress(TooMuchError):
            stranger.handle("1", Add(amount=amount))
        assert (meter.requests, meter.capacity) == (["Query", "Query"], 0.5 + 1)


def test_a_command_that_loses_a_race_costs_one_write_more(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    handler = CommandHandler(store, COUNTER, backoff=Backoff(base=0))
    handler.handle("1", Add(amount=1))
    CommandHandler(store, COUNTER).handle("1", Add(amount=1))  # In another process: this one's state is old.
    with Meter.on(local_client) as meter:
        assert handler.handle("1", Add(amount=1)).conflicts == 1
    assert meter.requests == ["PutItem", "PutItem"]


def test_a_command_behind_a_snapshot_reads_one_page_of_short_commits(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    handler = CommandHandler(store, COUNTER)
    for version in range(1, 61):
        handler.handle("1", Add(amount=1))
        if version == 50:
            take_snapshot(store, COUNTER, "counter-1", 50)
    with Meter.on(local_client) as meter:
        CommandHandler(store, COUNTER).handle("1", Add(amount=1))
    assert meter.requests == ["Query", "PutItem"]
    assert meter.capacity - 1 <= 2


def test_a_cold_command_is_two_requests_where_nobody_takes_snapshots(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    writer = CommandHandler(store, COUNTER)
    for _ in range(100):
        writer.handle("1", Add(amount=1))
    cold = CommandHandler(store, COUNTER, cached_states=0)
    for requests in (4, 4, 4, 4, 2, 2):  # Once the last four had to read it all, it is asked for at once.
        with Meter.on(local_client) as meter:
            cold.handle("1", Add(amount=1))
        assert meter.requests == ["Query"] * (requests - 1) + ["PutItem"]


def test_a_lost_race_costs_one_write_and_no_read(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    store.append(commit("thing-1", 1), after=None)
    with Meter.on(local_client) as meter, pytest.raises(VersionConflictError):
        store.append(commit("thing-1", 1), after=Head("thing-1", 0))
    assert meter.requests.count("PutItem") == 1


def test_a_load_with_a_snapshot_is_one_request(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    handler = CommandHandler(store, COUNTER)
    for _ in range(60):
        handler.handle("1", Add(amount=1))
        if load(store, COUNTER, "counter-1").version == 50:
            take_snapshot(store, COUNTER, "counter-1", 50)
    with Meter.on(local_client) as meter:
        loaded = load(store, COUNTER, "counter-1", page_size=64)
    assert (loaded.version, loaded.snapshot_version) == (60, 50)
    assert meter.requests == ["Query"]
    assert meter.capacity <= 4


def test_a_thousand_events_are_two_requests_and_cost_their_size(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    handler = CommandHandler(store, COUNTER, snapshot_every=10_000)
    for _ in range(100):
        handler.handle("1", Add(amount=1, times=10))
    with Meter.on(local_client) as meter:
        events = read_events(store, COUNTER.codec, "counter-1")
    assert len(events) == 1000
    size = sum(item_bytes(commit_to_item(one)) for one in store.oldest_first("counter-1"))
    assert meter.requests == ["Query"]
    assert meter.capacity == -(-size // 4096)


def test_a_projection_batch_is_one_read_and_one_write_a_stream(
    local_client: DynamoDBClient, store: DynamoDBEventStore, rows: DynamoDBRowStore
) -> None:
    handler = CommandHandler(store, COUNTER)
    for n in range(100):
        handler.handle(str(n % 10), Add(amount=1))
    batch = [one for n in range(10) for one in store.oldest_first(f"counter-{n}")]
    with Meter.on(local_client) as meter:
        result = ProjectionRunner(store, MemoryParkedStore()).run(RowTarget(TOTALS, rows), batch)
    assert result.applied == 100
    assert sorted(meter.requests) == ["BatchGetItem"] + ["PutItem"] * 10
    with Meter.on(local_client) as meter:
        ProjectionRunner(store, MemoryParkedStore()).run(RowTarget(TOTALS, rows), batch)
    assert meter.requests == ["BatchGetItem"]


def test_a_gap_costs_a_look_at_what_is_parked_and_a_query_and_a_release_a_write(
    local_client: DynamoDBClient, store: DynamoDBEventStore, rows: DynamoDBRowStore, local_tables: tuple[str, str]
) -> None:
    create_table(local_client, "ParkedTable", table := f"{local_tables[0]}-parked")
    parked = DynamoDBParkedStore(local_client, table)
    runner, target = ProjectionRunner(store, parked), RowTarget(TOTALS, rows)
    handler = CommandHandler(store, COUNTER)
    for n in (1, 2):
        for _ in range(2):
            handler.handle(str(n), Add(amount=1))
    parked.park("totals", "counter-2", 0, "x")
    for n, released in ((1, []), (2, ["counter-2"])):
        (_, last) = store.oldest_first(f"counter-{n}")
        with Meter.on(local_client) as meter:
            assert runner.run(target, [last]).released == released
        assert meter.requests == ["BatchGetItem", "GetItem", "Query", "PutItem", *["DeleteItem"] * len(released)]
    with Meter.on(local_client) as meter:
        assert parked.find("totals", "counter-1") is None
    assert meter.capacity == 1  # consistent; to delete it in any case would be a write unit, at five times the price


@pytest.mark.parametrize("year", [2026, 1926])  # A time before 1970 is a negative number.
def test_the_size_of_an_item_is_what_dynamodb_counts(
    local_client: DynamoDBClient, store: DynamoDBEventStore, year: int
) -> None:
    item = commit_to_item(commit("thing-1", 1, text="", at=AT.replace(year=year)))
    item |= {"digest": {"B": b""}}
    item |= {"digest": {"B": b"x" * (MAX_ITEM_BYTES - item_bytes(item))}}
    with Meter.on(local_client) as meter:
        local_client.put_item(TableName=store._table, Item=item)
    assert meter.capacity == 400
    item["snapshot_due"] = {"BOOL": True}
    with pytest.raises(local_client.exceptions.ClientError, match="Item size"):
        local_client.put_item(TableName=store._table, Item=item)


def test_whether_a_commit_fits_does_not_hang_on_how_well_it_compresses(store: DynamoDBEventStore) -> None:
    empty = item_bytes(commit_to_item(commit("thing-1", 1, text="")))
    store.append(commit("thing-1", 1, text="x" * (MAX_ITEM_BYTES - empty)), after=Head("thing-1", 0))
    with pytest.raises(ItemTooLargeError):
        store.append(commit("thing-2", 1, text="x" * (MAX_ITEM_BYTES - empty + 1)), after=Head("thing-2", 0))


def random_text(seed: int) -> str:
    """Return 300 characters that do not compress."""
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=300))  # noqa: S311 - a seed
