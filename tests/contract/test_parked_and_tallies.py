"""One contract for parked streams and one for tallies, on every adapter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.dynamodb.transactions import transact
from eventfold.memory import MemoryParkedStore, MemoryTallyStore
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.tallies import MAX_ITEMS, Checkpoint
from tests.conftest import PARKED_TABLE, READ_MODELS_TABLE
from tests.support import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.read_models.parking import ParkedStore
    from eventfold.read_models.tallies import TallyStore


@pytest.fixture(params=["memory", "moto", pytest.param("local", marks=pytest.mark.dynamodb_local)])
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def parked(adapter: str, request: pytest.FixtureRequest) -> ParkedStore:
    if adapter == "memory":
        return MemoryParkedStore()
    if adapter == "moto":
        return DynamoDBParkedStore(request.getfixturevalue("moto_client"), PARKED_TABLE)
    client: DynamoDBClient = request.getfixturevalue("local_client")
    name = f"{request.getfixturevalue('local_tables')[0]}-parked"
    create_table(client, "ParkedTable", name)
    return DynamoDBParkedStore(client, name)


@pytest.fixture
def tallies(adapter: str, request: pytest.FixtureRequest) -> TallyStore:
    if adapter == "memory":
        return MemoryTallyStore()
    if adapter == "moto":
        return DynamoDBTallyStore(request.getfixturevalue("moto_client"), READ_MODELS_TABLE)
    return DynamoDBTallyStore(request.getfixturevalue("local_client"), request.getfixturevalue("local_tables")[1])


def test_parking_again_counts_and_keeps_since(parked: ParkedStore) -> None:
    parked.park("p", "thing-1", 3, "first")
    (first,) = parked.listed()
    parked.park("p", "thing-1", 4, "second")
    (second,) = parked.listed("p")
    assert (second.version, second.reason, second.attempts, second.since) == (4, "second", 2, first.since)


def test_parked_streams_are_listed_by_projection_and_released(parked: ParkedStore) -> None:
    for projection, stream in (("p", "thing-1"), ("p", "thing-2"), ("q", "thing-1")):
        parked.park(projection, stream, 0, "x")
    assert {one.stream for one in parked.listed("p")} == {"thing-1", "thing-2"}
    assert sum(1 for _ in parked.listed()) == 3
    found = parked.find("p", "thing-1")
    assert found in list(parked.listed("p"))
    assert found is not None
    assert parked.release(found)
    assert parked.release(found)  # again: the answer was lost, or another was first
    assert parked.find("p", "thing-1") is None
    assert {(one.projection, one.stream) for one in parked.listed()} == {("p", "thing-2"), ("q", "thing-1")}


def test_only_the_parking_that_was_seen_is_released(parked: ParkedStore) -> None:
    parked.park("p", "thing-1", 0, "first")
    first = parked.find("p", "thing-1")
    assert first is not None
    parked.park("p", "thing-1", 0, "again")
    assert not parked.release(first)
    again = parked.find("p", "thing-1")
    assert again is not None
    assert again.attempts == 2
    assert parked.release(again)
    parked.park("p", "thing-1", 0, "anew")
    assert not parked.release(first)  # both are the first attempt
    assert [(one.reason, one.attempts) for one in parked.listed()] == [("anew", 1)]


def test_counters_and_checkpoint_move_together_or_not_at_all(tallies: TallyStore) -> None:
    tallies.add("t", {"all": {"a": 2, "b": 1}, "day": {"a": 2}}, {Checkpoint("thing-1", 3): None})
    for replaces in (None, Checkpoint("thing-1", 2), Checkpoint("thing-1", 3, 1)):
        with pytest.raises(RowConflictError):
            tallies.add("t", {"all": {"a": 5}}, {Checkpoint("thing-1", 4): replaces})
    tallies.add("t", {"all": {"a": 1}}, {Checkpoint("thing-1", 5): Checkpoint("thing-1", 3)})
    tallies.add("t", {}, {Checkpoint("thing-2", 1): None})
    assert tallies.totals("t", ["all", "day", "never"]) == {"all": {"a": 3, "b": 1}, "day": {"a": 2}}
    assert tallies.checkpoints("t", ["thing-1", "thing-2", "thing-3"]) == {
        "thing-1": Checkpoint("thing-1", 5),
        "thing-2": Checkpoint("thing-2", 1),
    }


def test_streams_share_a_transaction_all_of_them_or_none(tallies: TallyStore) -> None:
    tallies.add("t", {"all": {"a": 1}}, {Checkpoint("thing-2", 1): None})
    with pytest.raises(RowConflictError, match="'thing-2' is not at None"):
        tallies.add("t", {"all": {"a": 3}}, {Checkpoint(f"thing-{n}", 1): None for n in (1, 2, 3)})
    assert tallies.totals("t", ["all"]) == {"all": {"a": 1}}
    assert list(tallies.checkpoints("t", ["thing-1", "thing-2", "thing-3"])) == ["thing-2"]
    most = {Checkpoint(f"thing-{n}", n): Checkpoint("thing-2", 1) if n == 2 else None for n in range(1, 51)}
    rows = {f"row {n}": {"a": n} for n in range(MAX_ITEMS - len(most))}
    tallies.add("t", rows, most)
    assert tallies.totals("t", list(rows)) == rows
    assert tallies.checkpoints("t", [one.stream for one in most]) == {one.stream: one for one in most}


def test_tallies_do_not_mix(tallies: TallyStore) -> None:
    tallies.add("t", {"all": {"a": 1}}, {Checkpoint("thing-1", 1): None})
    assert tallies.totals("u", ["all"]) == {}
    assert tallies.checkpoints("u", ["thing-1"]) == {}


@pytest.mark.dynamodb_local
def test_many_streams_add_to_the_same_rows_at_once(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    tallies = DynamoDBTallyStore(local_client, local_tables[1])

    def add(n: int) -> None:
        tallies.add("t", {"all": {"a": 1}}, {Checkpoint(f"thing-{n}", 1): None})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(200)))
    assert tallies.totals("t", ["all"]) == {"all": {"a": 200}}


def cancelled(*codes: str) -> ClientError:
    reasons = [{"Code": code} for code in codes]
    answer = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
    return ClientError(answer, "TransactWriteItems")  # type: ignore[arg-type] # an answer, abridged


@pytest.mark.parametrize(
    ("reasons", "raised"),
    [
        (["ConditionalCheckFailed", "None"], RowConflictError),
        (["ConditionalCheckFailed", "TransactionConflict"], RowConflictError),
        (["None", "TransactionConflict"], StoreUnavailableError),
        (["None", "ThrottlingError"], StoreUnavailableError),
        (["None", "ProvisionedThroughputExceeded"], StoreUnavailableError),
        (["None", "ValidationError"], ClientError),
        (["ItemCollectionSizeLimitExceeded"], ClientError),
    ],
)
def test_the_reasons_of_a_cancelled_transaction_are_told_apart(
    moto_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch, reasons: list[str], raised: type[Exception]
) -> None:
    tries: list[int] = []

    def cancel(**_: object) -> None:
        tries.append(1)
        raise cancelled(*reasons)

    monkeypatch.setattr(moto_client, "transact_write_items", cancel)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(raised):
        DynamoDBTallyStore(moto_client, READ_MODELS_TABLE).add("t", {}, {Checkpoint("thing-1", 1): None})
    assert len(tries) == (8 if raised is StoreUnavailableError else 1)


def test_what_is_no_cancellation_is_raised_as_it_is() -> None:
    client = Mock()
    client.transact_write_items.side_effect = ClientError({"Error": {"Code": "AccessDenied"}}, "TransactWriteItems")
    with pytest.raises(ClientError, match="AccessDenied"):
        transact(client, [])
