"""What is written together, under faults of the network: all or none, and known again as one's own."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from eventfold import Backoff, CommandHandler, Head, Request, load
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.core.errors import StoreUnavailableError, StreamsMovedError
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.testing.commits import commit
from eventfold.testing.faults import Fault, FaultInjector, pauses
from tests.accounts import ACCOUNTS, Account, Deposit, OverdrawnError, Transfer, transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold import Commit

pytestmark = pytest.mark.dynamodb_local
OPERATION = "TransactWriteItems"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pauses(lambda _: None):
        yield


@pytest.fixture
def store(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> DynamoDBEventStore:
    return DynamoDBEventStore(local_client, local_tables[0])


COMMITS = tuple(commit(f"thing-{n}", 1, id="together") for n in range(3))
GUARD = Head("thing-guard", 0)


def stored(store: DynamoDBEventStore) -> list[Commit]:
    return [found for one in COMMITS for found in store.oldest_first(one.stream)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR_BEFORE, Fault.LOST_ANSWER, Fault.TRANSACTION_CONFLICT])
def test_a_fault_of_one_request_is_not_seen(
    local_client: DynamoDBClient, store: DynamoDBEventStore, fault: Fault, seed: int
) -> None:
    with FaultInjector(local_client, seed=seed).at(fault, OPERATION, 1) as faults:
        store.append_together(COMMITS, guards=[GUARD])
    assert faults.counts[fault] == 1
    assert len(stored(store)) == len(COMMITS)


def test_an_answer_that_stays_lost_is_recognised_when_the_same_comes_again(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    """The token that DynamoDB knows a request by for 10 minutes is another one then."""
    with FaultInjector(local_client) as faults:
        for number in (1, 2, 3):
            faults.at(Fault.LOST_ANSWER, OPERATION, number)
        with pytest.raises(StoreUnavailableError):
            store.append_together(COMMITS, guards=[GUARD])
    store.append(commit(GUARD.stream, 1), after=GUARD)
    store.append_together(COMMITS, guards=[GUARD])
    assert len(stored(store)) == len(COMMITS)
    with pytest.raises(StreamsMovedError):
        store.append_together([commit(one.stream, 1, id="others") for one in COMMITS])


@pytest.mark.parametrize("seed", range(3))
def test_sixteen_writers_move_money_and_none_is_made_or_lost(store: DynamoDBEventStore, seed: int) -> None:
    names = ("ada", "grace", "alan", "edsger")
    for name in names:
        CommandHandler(store, ACCOUNTS).handle(name, Deposit(owner=name, amount=20))
    dice = random.Random(seed)  # noqa: S311 - a seed
    transfers = [
        Transfer(source=a, target=b, amount=dice.randint(1, 15)) for a, b in (dice.sample(names, 2) for _ in range(48))
    ]
    handlers = [TransactionHandler(store, backoff=Backoff(attempts=60, base=0)) for _ in range(16)]

    def move(number: int) -> str:
        request = Request(key=f"transfer-{number}")
        try:
            handlers[number % 16].handle(transfer, transfers[number], request)
        except OverdrawnError:
            return "refused"
        assert handlers[(number + 1) % 16].handle(transfer, transfers[number], request).repeated
        return "done"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(move, range(len(transfers))))
    states = {name: load(store, ACCOUNTS, f"account-{name}").state for name in names}
    expected = dict.fromkeys(names, 20)
    for one in (made for made, answer in zip(transfers, answers, strict=True) if answer == "done"):
        expected[one.source] -= one.amount
        expected[one.target] += one.amount
    assert {name: state.balance for name, state in states.items()} == expected
    assert answers.count("done") > 0
    for name in names:
        balances = [0]
        for commit_ in store.oldest_first(f"account-{name}"):
            balances.append(ACCOUNTS.fold(Account(balance=balances[-1]), ACCOUNTS.codec.current(commit_) or []).balance)
        assert min(balances) >= 0, "at no moment overdrawn"


def test_transactions_that_stay_in_the_way_end_in_a_word_and_write_nothing(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    with FaultInjector(local_client).rate(Fault.TRANSACTION_CONFLICT, 1), pytest.raises(StoreUnavailableError):
        store.append_together(COMMITS)
    assert stored(store) == []
