"""`make contention`: what lost races cost as writers meet, in one stream and over several. On DynamoDB Local.

Requests are counted, not timed: what a race costs is the same on any machine, and how often one is lost depends on how
long a request takes beside the pause between two. Prints the table of docs/transactions.md.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from rich.table import Table

from app.accounts import money
from app.accounts.money import OpenAccount, Transfer
from app.accounts.rules import ACCOUNTS, Deposit
from eventfold import Backoff, CommandHandler, Keys
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.core.errors import TooManyConflictsError
from eventfold.dynamodb import DynamoDBEventStore, create_client
from eventfold.testing.meter import Meter
from local import dynamodb_local
from local.toolchain import console, main_guard, step
from tests.support import create_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

WRITERS = (1, 4, 16)
ACCOUNTS_OF_ALL = (2, 10, 100)
COMMANDS = 320
KEYS = Keys(lambda: b"k" * 32)
BACKOFF = Backoff(attempts=8)
"""The library's own."""


@dataclass
class Ran:
    """What became of the commands of one run."""

    requests: int = 0
    lost: int = 0
    given_up: int = 0

    def __str__(self) -> str:
        given_up = f", {self.given_up / COMMANDS:.0%} given up" if self.given_up else ""
        return f"{self.requests / COMMANDS:.2f} requests, {self.lost / COMMANDS:.2f} races lost{given_up}"


class Writer:
    """A process that deposits or transfers, to and from accounts drawn anew each time."""

    def __init__(self, client: DynamoDBClient, table: str, claims: str, accounts: int, number: int) -> None:
        store = DynamoDBEventStore(client, table, claims)
        self._accounts = CommandHandler(store, ACCOUNTS, keys=KEYS, backoff=BACKOFF)
        self._transactions = TransactionHandler(store, keys=KEYS, backoff=BACKOFF)
        self._dice = random.Random(number)
        self._of = range(accounts)

    def deposit(self) -> int:
        """Run one; return the races lost."""
        return self._accounts.handle(str(self._dice.choice(self._of)), Deposit(cents=1)).conflicts

    def transfer(self) -> int:
        """Run one; return the races lost."""
        source, target = self._dice.sample(self._of, 2)
        decide = partial(money.transfer, account=str(source), today=datetime.now(UTC).date())
        return self._transactions.handle(decide, Transfer(to=str(target), cents=1)).conflicts


def run(client: DynamoDBClient, writers: int, accounts: int, what: Callable[[Writer], int]) -> Ran:
    """Run the commands on tables of their own, each account with money and of an owner of its own."""
    events, claims = (f"{name}-{writers}-{accounts}-{what.__name__}" for name in ("events", "claims"))
    create_table(client, "EventsTable", events)
    create_table(client, "ClaimsTable", claims)
    store = DynamoDBEventStore(client, events, claims)
    for number in range(accounts):
        opened = OpenAccount(owner=f"owner{number}", number=f"DE{number:04}")
        TransactionHandler(store, keys=KEYS).handle(partial(money.open_account, account=str(number)), opened)
        CommandHandler(store, ACCOUNTS, keys=KEYS).handle(str(number), Deposit(cents=50_000))

    def work(number: int) -> Ran:
        writer = Writer(client, events, claims, accounts, number)
        lost, given_up = 0, 0
        for _ in range(COMMANDS // writers):
            try:
                lost += what(writer)
            except TooManyConflictsError as error:
                lost += error.attempts
                given_up += 1
        return Ran(lost=lost, given_up=given_up)

    with Meter.on(client) as meter, ThreadPoolExecutor(writers) as pool:
        each = list(pool.map(work, range(writers)))
    return Ran(len(meter.requests), sum(one.lost for one in each), sum(one.given_up for one in each))


def main() -> int:
    """Measure, and print the table."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "eu-west-1"}
    table = Table("writers", "accounts", "deposit: one stream", "transfer: two written, owner guarded")
    with dynamodb_local.running() as url:
        client = create_client(url, read_timeout=20)
        for writers, accounts in product(WRITERS, ACCOUNTS_OF_ALL):
            with step(f"{writers} writers, {accounts} accounts"):
                found = [run(client, writers, accounts, what) for what in (Writer.deposit, Writer.transfer)]
            table.add_row(str(writers), str(accounts), *map(str, found))
    console.print(table)
    return 0


if __name__ == "__main__":
    main_guard(main)
