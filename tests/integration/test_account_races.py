"""Sixteen writers open, close, deposit, withdraw and transfer side by side on DynamoDB Local: no rule is ever broken."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import pytest

from app.accounts import money
from app.accounts.money import DAILY_LIMIT, Close, OpenAccount, Transfer, Withdraw
from app.accounts.owners import OWNERS
from app.accounts.rules import ACCOUNTS, Deposit
from drills.chaos.money import check_money
from eventfold import Backoff, CommandHandler, Keys, RefusedError, load
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.core.errors import TooManyConflictsError
from eventfold.dynamodb.claims import DynamoDBClaimStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.operations.claims import ClaimBooks, ClaimBuild
from eventfold.testing.checker import read_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local
WRITERS, COMMANDS, ACCOUNTS_OF_ALL, OWNERS_OF_ALL = 16, 6, 5, 2
KEYS = Keys(lambda: b"k" * 32)
BACKOFF = Backoff(attempts=60, base=0.002, cap=0.05)
TODAY = date(2026, 1, 2)


class Writer:
    """A process with a cache of its own."""

    def __init__(self, store: ScannableDynamoDBEventStore, seed: str) -> None:
        self._accounts = CommandHandler(store, ACCOUNTS, keys=KEYS, backoff=BACKOFF)
        self._transactions = TransactionHandler(store, keys=KEYS, backoff=BACKOFF)
        self._dice = random.Random(seed)  # noqa: S311 - a workload, not a secret

    def __call__(self) -> Counter[str]:
        """Send the commands; count what came of them."""
        done: Counter[str] = Counter()
        for _ in range(COMMANDS):
            try:
                done[self._send()] += 1
            except (RefusedError, TooManyConflictsError) as error:
                done[type(error).__name__] += 1
        return done

    def _send(self) -> str:
        source, target = self._dice.sample(range(ACCOUNTS_OF_ALL), 2)
        cents, of = self._dice.randrange(1, DAILY_LIMIT // 3), partial(self._dice.choices, k=1)
        (what,) = of(["open", "deposit", "withdraw", "transfer", "close"], [2, 3, 2, 5, 1])
        account = str(source)
        match what:
            case "open":
                opened = OpenAccount(owner=f"owner{source % OWNERS_OF_ALL}", number=f"DE{min(source, target):02}")
                self._transactions.handle(partial(money.open_account, account=account), opened)
            case "deposit":
                self._accounts.handle(account, Deposit(cents=cents))
            case "withdraw":
                decide = partial(money.withdraw, account=account, today=TODAY)
                self._transactions.handle(decide, Withdraw(cents=cents))
            case "transfer":
                transfer = partial(money.transfer, account=account, today=TODAY)
                self._transactions.handle(transfer, Transfer(to=str(target), cents=cents))
            case "close":
                self._transactions.handle(partial(money.close, account=account), Close())
        return what


@pytest.mark.parametrize("seed", range(1, 6))
def test_no_rule_is_broken_however_writers_cross_each_other(
    local_client: DynamoDBClient, local_tables: tuple[str, str], local_claims: str, seed: int
) -> None:
    store = ScannableDynamoDBEventStore(local_client, local_tables[0], local_claims)
    bank = TransactionHandler(store, keys=KEYS)
    for number in range(ACCOUNTS_OF_ALL):
        opened = OpenAccount(owner=f"owner{number % OWNERS_OF_ALL}", number=f"DE{number:02}")
        bank.handle(partial(money.open_account, account=str(number)), opened)
        CommandHandler(store, ACCOUNTS, keys=KEYS).handle(str(number), Deposit(cents=DAILY_LIMIT))
    with ThreadPoolExecutor(WRITERS) as pool:
        done = sum(pool.map(lambda n: Writer(store, f"{seed}/{n}")(), range(WRITERS)), Counter[str]())
    assert min(done["transfer"], done["withdraw"]) > 0, done
    assert list(check_money(read_table(local_client, local_tables[0]))) == []
    accounts = {str(n): load(store, ACCOUNTS, ACCOUNTS.stream(str(n))).state for n in range(ACCOUNTS_OF_ALL)}
    for number in range(OWNERS_OF_ALL):
        owner = load(store, OWNERS, OWNERS.stream(f"owner{number}")).state
        mine = {id_ for id_, one in accounts.items() if one.status == "open" and one.owner == f"owner{number}"}
        assert set(owner.accounts) == mine
    claims = DynamoDBClaimStore(local_client, local_claims)
    build = ClaimBuild(ClaimBooks(store, claims, KEYS, {"account": ACCOUNTS}), lambda one: pytest.fail(str(one)))
    build.run(store.scan(0, 1))
    assert (build.claimed, build.released) == (0, 0)
