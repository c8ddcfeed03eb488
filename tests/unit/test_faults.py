"""The fault injector: each fault is what it says it is, and botocore's own retries are in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's own name

from eventfold.testing.faults import CrashError, Fault, FaultInjector, pauses
from tests.conftest import EVENTS_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

TRIES = 3  # what the project's client does


@pytest.fixture(autouse=True)
def waited() -> Iterator[list[float]]:
    """What botocore would have waited, in seconds."""
    waited: list[float] = []
    with pauses(waited.append):
        yield waited


@pytest.fixture(params=["moto", pytest.param("local", marks=pytest.mark.dynamodb_local)])
def backend(request: pytest.FixtureRequest) -> tuple[DynamoDBClient, str]:
    if request.param == "moto":
        return request.getfixturevalue("moto_client"), EVENTS_TABLE
    return request.getfixturevalue("local_client"), request.getfixturevalue("local_tables")[0]


def add(backend: tuple[DynamoDBClient, str]) -> None:
    """Add one to a counter: done twice by mistake, it shows."""
    client, table = backend
    client.update_item(
        TableName=table,
        Key={"stream": {"S": "counter-1"}, "version": {"N": "1"}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


def count(backend: tuple[DynamoDBClient, str]) -> int:
    client, table = backend
    item = client.get_item(TableName=table, Key={"stream": {"S": "counter-1"}, "version": {"N": "1"}}).get("Item")
    return int(item["n"]["N"]) if item else 0


def everywhere(client: DynamoDBClient, fault: Fault, seed: int = 1) -> FaultInjector:
    return FaultInjector(client, seed=seed).rate(fault, 1)


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR_BEFORE])
def test_a_request_that_fails_before_is_not_made_and_is_retried(
    backend: tuple[DynamoDBClient, str], waited: list[float], fault: Fault
) -> None:
    with FaultInjector(backend[0]).at(fault, "UpdateItem", 1) as faults:
        add(backend)
    assert count(backend) == 1
    assert faults.counts == {fault: 1}
    assert faults.requests == {"UpdateItem": 2}
    assert len(waited) == 1


@pytest.mark.parametrize("seed", range(8))
def test_throttled_at_every_try_the_caller_sees_dynamodbs_own_error(
    backend: tuple[DynamoDBClient, str], seed: int
) -> None:
    with everywhere(backend[0], Fault.THROTTLE, seed) as faults, pytest.raises(ClientError) as raised:
        add(backend)
    assert raised.value.response["Error"]["Code"] in {"ProvisionedThroughputExceededException", "ThrottlingException"}
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert faults.counts[Fault.THROTTLE] == TRIES
    assert count(backend) == 0


def test_a_table_out_of_reach_answers_nothing_whatever_names_it_and_the_others_do(
    backend: tuple[DynamoDBClient, str],
) -> None:
    client, table = backend
    key = {"stream": {"S": "counter-1"}, "version": {"N": "1"}}
    with FaultInjector(client) as faults:
        faults.out_of_reach.add(table)
        for request in (
            lambda: add(backend),
            lambda: client.batch_get_item(RequestItems={table: {"Keys": [key]}}),
            lambda: client.transact_write_items(TransactItems=[{"Delete": {"TableName": table, "Key": key}}]),
        ):
            with pytest.raises(ConnectionError):
                request()
        assert faults.counts == {Fault.OUT_OF_REACH: 3 * TRIES}
        client.list_tables()
        faults.out_of_reach.clear()
        add(backend)
    assert count(backend) == 1


def test_errors_before_the_request_come_in_both_forms(backend: tuple[DynamoDBClient, str]) -> None:
    seen = set()
    for seed in range(12):
        with (
            everywhere(backend[0], Fault.ERROR_BEFORE, seed),
            pytest.raises((ClientError, ConnectionError, HTTPClientError)) as raised,
        ):
            add(backend)
        seen.add(isinstance(raised.value, ClientError))
    assert seen == {True, False}
    assert count(backend) == 0


def test_a_lost_answer_leaves_the_request_done_and_botocore_repeats_it(backend: tuple[DynamoDBClient, str]) -> None:
    with FaultInjector(backend[0]).at(Fault.LOST_ANSWER, "UpdateItem", 1) as faults:
        add(backend)
    assert count(backend) == 2  # no condition, no token: a lost answer doubles it
    assert faults.counts == {Fault.LOST_ANSWER: 1}


def test_lost_answers_to_the_end_come_in_both_forms(backend: tuple[DynamoDBClient, str]) -> None:
    seen = set()
    for seed in range(12):
        with (
            everywhere(backend[0], Fault.LOST_ANSWER, seed),
            pytest.raises((ClientError, ConnectionError, HTTPClientError)) as raised,
        ):
            add(backend)
        if isinstance(raised.value, ClientError):
            assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        seen.add(isinstance(raised.value, ClientError))
    assert seen == {True, False}
    assert count(backend) == 12 * TRIES


def test_a_transaction_is_replayed_under_its_token_and_not_done_twice(
    local_client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    table = local_tables[0]
    key = {"stream": {"S": "counter-1"}, "version": {"N": "1"}}
    with FaultInjector(local_client).at(Fault.LOST_ANSWER, "TransactWriteItems", 1) as faults:
        local_client.transact_write_items(
            TransactItems=[
                {
                    "Update": {
                        "TableName": table,
                        "Key": key,
                        "UpdateExpression": "ADD n :one",
                        "ExpressionAttributeValues": {":one": {"N": "1"}},
                    }
                }
            ]
        )
    assert count((local_client, table)) == 1
    assert faults.requests == {"TransactWriteItems": 2}


test_a_transaction_is_replayed_under_its_token_and_not_done_twice = pytest.mark.dynamodb_local(
    test_a_transaction_is_replayed_under_its_token_and_not_done_twice
)


def test_a_conflict_cancels_a_transaction(backend: tuple[DynamoDBClient, str]) -> None:
    client, table = backend
    item = {"stream": {"S": "counter-1"}, "version": {"N": "1"}}
    with everywhere(client, Fault.TRANSACTION_CONFLICT), pytest.raises(ClientError) as raised:
        client.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": item}}, {"Put": {"TableName": table, "Item": item}}]
        )
    assert [one["Code"] for one in raised.value.response["CancellationReasons"]] == ["TransactionConflict", "None"]


def test_a_conflict_refuses_a_plain_write_in_both_forms_and_no_read(backend: tuple[DynamoDBClient, str]) -> None:
    seen = set()
    for seed in range(12):
        with everywhere(backend[0], Fault.TRANSACTION_CONFLICT, seed) as faults:
            assert count(backend) == 0
            with pytest.raises(ClientError) as raised:
                add(backend)
        seen.add(raised.value.response["Error"]["Code"])
        assert faults.counts == {Fault.TRANSACTION_CONFLICT: TRIES}
    assert seen == {"TransactionConflictException", "ReplicatedWriteConflictException"}
    assert count(backend) == 0


def test_a_delay_is_spent_before_the_request(backend: tuple[DynamoDBClient, str]) -> None:
    counts: list[int] = []
    client, table = backend
    key = {"stream": {"S": "counter-1"}, "version": {"N": "1"}}

    def look(seconds: float) -> None:
        assert seconds == 0.7
        counts.append("Item" in client.get_item(TableName=table, Key=key))

    with FaultInjector(client, delay=0.7, sleep=look).at(Fault.DELAY, "UpdateItem", 1) as faults:
        add(backend)
    assert counts == [0]
    assert faults.counts == {Fault.DELAY: 1}
    assert count(backend) == 1


def test_a_crash_comes_before_or_after_and_no_handler_of_errors_sees_it(backend: tuple[DynamoDBClient, str]) -> None:
    def run() -> None:
        try:
            add(backend)
        except Exception:  # noqa: BLE001 - what code under test may do
            pytest.fail("a crash was caught")

    for seed in range(12):
        with everywhere(backend[0], Fault.CRASH, seed), pytest.raises(CrashError):
            run()
    assert 0 < count(backend) < 12


def test_the_same_seed_meets_the_same_faults(backend: tuple[DynamoDBClient, str]) -> None:
    def run(seed: int) -> list[bool]:
        met = []
        with FaultInjector(backend[0], seed=seed).rate(Fault.DELAY, 0.5) as faults:
            faults._sleep = lambda _: None
            for _ in range(30):
                before = faults.counts[Fault.DELAY]
                count(backend)
                met.append(faults.counts[Fault.DELAY] > before)
        return met

    assert run(3) == run(3) != run(4)
    assert 5 < sum(run(3)) < 25


def test_a_rate_holds_for_the_operations_it_names(backend: tuple[DynamoDBClient, str]) -> None:
    with FaultInjector(backend[0]).rate(Fault.CRASH, 1, ["PutItem"]) as faults:
        add(backend)
        assert count(backend) == 1
    assert not faults.counts


def test_behind_the_block_nothing_happens_any_more(backend: tuple[DynamoDBClient, str]) -> None:
    with everywhere(backend[0], Fault.CRASH) as faults:
        faults.calm()
        add(backend)
        faults.rate(Fault.CRASH, 1)
    add(backend)
    assert count(backend) == 2
