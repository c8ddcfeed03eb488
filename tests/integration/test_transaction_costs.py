"""What decisions over several streams and unique keys cost, counted on DynamoDB Local: requests, and what is in them.

DynamoDB takes two units a KB for each write of a transaction, and two for a check or a deletion of less than a KB;
DynamoDB Local does not say what it takes.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-capacity-handling
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from app.accounts import money
from app.accounts.money import OpenAccount, OverdrawnError, Transfer, Withdraw
from app.accounts.rules import ACCOUNTS, Deposit
from app.users.rules import USERS, CreateUser, DeleteUser, UpdateUser
from eventfold import CommandHandler, Keys, Request
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.core.errors import KeyTakenError
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.items import item_bytes
from eventfold.testing.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from app.users.rules import UserCommand

NAME = "before-parameter-build.dynamodb.TransactWriteItems"
pytestmark = pytest.mark.dynamodb_local
KEYS = Keys(lambda: b"k" * 32)
TODAY = date(2026, 1, 2)


@pytest.fixture
def store(local_client: DynamoDBClient, local_tables: tuple[str, str], local_claims: str) -> DynamoDBEventStore:
    return DynamoDBEventStore(local_client, local_tables[0], local_claims)


@dataclass
class Counted:
    """The requests of a block, and its units: of transactions as AWS reckons them, of all else as reported."""

    meter: Meter
    actions: list[str] = field(default_factory=list)
    units: float = 0

    def note(self, params: dict[str, Any], **_: object) -> None:
        for ((kind, action),) in (one.items() for one in params["TransactItems"]):
            self.actions.append(kind)
            self.units += 2 * math.ceil(item_bytes(action["Item"]) / 1024) if kind == "Put" else 2


@contextmanager
def counted(client: DynamoDBClient) -> Iterator[Counted]:
    with Meter.on(client) as meter:
        found = Counted(meter)
        client.meta.events.register(NAME, found.note)
        try:
            yield found
        finally:
            client.meta.events.unregister(NAME, found.note)
    found.units += sum(units for name, units in meter.units.items() if name != "TransactWriteItems")


@pytest.fixture
def bank(store: DynamoDBEventStore) -> TransactionHandler:
    """A process that knows three accounts, two of Ada's and one of Grace's."""
    bank = TransactionHandler(store, keys=KEYS)
    for id_, owner in (("a", "ada"), ("b", "ada"), ("c", "grace")):
        opened = OpenAccount(owner=owner, number=f"{id_.upper()}000")
        bank.handle(partial(money.open_account, account=id_), opened)
    CommandHandler(store, ACCOUNTS, keys=KEYS).handle("a", Deposit(cents=1000))
    bank.handle(partial(money.withdraw, account="a", today=TODAY), Withdraw(cents=1))  # It learns of the deposit.
    return bank


def test_a_transfer_is_one_request_two_units_a_commit_and_two_a_guard(
    local_client: DynamoDBClient, bank: TransactionHandler
) -> None:
    with counted(local_client) as found:
        bank.handle(partial(money.transfer, account="a", today=TODAY), Transfer(to="c", cents=1))
    assert found.meter.requests == ["TransactWriteItems"]
    assert found.actions == ["Put", "Put", "ConditionCheck", "ConditionCheck"]
    assert found.units == 2 * 2 + 2 * 2, "accounts a and c are written; b and the owner are guarded"


def test_a_transfer_in_a_process_that_knows_nothing_reads_each_stream_once_at_half_price(
    local_client: DynamoDBClient, store: DynamoDBEventStore, bank: TransactionHandler
) -> None:
    with counted(local_client) as found:
        TransactionHandler(store, keys=KEYS).handle(
            partial(money.transfer, account="a", today=TODAY), Transfer(to="c", cents=1)
        )
    assert found.meter.requests == ["Query"] * 4 + ["TransactWriteItems"]
    assert found.units == 4 * 0.5 + 8


def test_a_refusal_is_proven_by_consistent_reads_and_guards(
    local_client: DynamoDBClient, bank: TransactionHandler
) -> None:
    with counted(local_client) as found, pytest.raises(OverdrawnError):
        bank.handle(partial(money.transfer, account="c", today=TODAY), Transfer(to="a", cents=1))
    assert found.meter.requests == ["Query", "Query", "TransactWriteItems"]
    assert found.units == 2 * 1 + 2 * 2


def test_a_plain_command_beside_them_costs_what_it_did(
    local_client: DynamoDBClient, store: DynamoDBEventStore, bank: TransactionHandler
) -> None:
    accounts = CommandHandler(store, ACCOUNTS, keys=KEYS)
    accounts.handle("c", Deposit(cents=1))
    with counted(local_client) as found:
        accounts.handle("c", Deposit(cents=1))
    assert (found.meter.requests, found.units) == (["PutItem"], 1)


def test_a_unique_key_is_two_units_where_it_changes_and_nothing_where_it_does_not(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    users = CommandHandler(store, USERS, keys=KEYS)
    steps: list[tuple[str, UserCommand, list[str], int]] = [
        ("1", CreateUser(name="A"), ["PutItem"], 1),
        ("2", CreateUser(name="A", email="a@example.com"), ["TransactWriteItems"], 2 + 2),
        ("2", UpdateUser(name="B"), ["PutItem"], 1),
        ("2", UpdateUser(email="A@example.com"), ["PutItem"], 1),
        ("2", UpdateUser(email="b@example.com"), ["TransactWriteItems"], 2 + 2 + 2),
        ("2", DeleteUser(), ["TransactWriteItems"], 2 + 2),
    ]
    for id_, command, requests, units in steps:
        with counted(local_client) as found:
            users.handle(id_, command, Request(new=isinstance(command, CreateUser)))
        assert (found.meter.requests, found.units) == (requests, units), command


def test_a_key_that_is_taken_is_refused_by_the_one_request(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    users = CommandHandler(store, USERS, keys=KEYS)
    users.handle("1", CreateUser(name="A", email="a@example.com"), Request(new=True))
    with counted(local_client) as found, pytest.raises(KeyTakenError):
        users.handle("2", CreateUser(name="A", email="a@example.com"), Request(new=True))
    assert found.meter.requests == ["TransactWriteItems"]
