"""Transfers in `make chaos`: accounts that many writers move money between, and what has to hold at any moment."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from app.accounts import money
from app.accounts.money import DAILY_LIMIT, OpenAccount, Transfer, Withdraw
from app.accounts.owners import OWNERS
from app.accounts.rules import ACCOUNTS, Deposit, Deposited, Withdrawn
from drills.chaos.world import KEYS
from eventfold import CommandHandler, Outcome, Request
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.core.commit import CommitPlace, category_of
from eventfold.testing.checker import Finding, Wrong, commits_by_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from random import Random

    from drills.chaos.world import World
    from eventfold import Command, Commit, EventStore
    from eventfold.aggregates.transactions import Decision
    from eventfold.core.store import Item

OPEN, OWNED_BY = 6, 2
"""Accounts, and their owners: so few that writers cross each other all the time."""
KEYED = 0.7
MOST = DAILY_LIMIT // 10
"""What one command moves at the most: a day's limit is reached."""


class Sent(NamedTuple):
    """A command of the accounts, and whether it has a key."""

    run: Callable[[], Outcome]
    keyed: bool


class Bank:
    """One process that moves money."""

    def __init__(self, world: World, store: EventStore, dice: Random) -> None:
        self._world = world
        self._dice = dice
        every = world.tables.snapshot_every
        self._accounts = CommandHandler(store, ACCOUNTS, snapshot_every=every, clock=world.clock, keys=KEYS)
        self._transactions = TransactionHandler(store, snapshot_every=every, clock=world.clock, keys=KEYS)

    def command(self, key: str) -> Sent:
        """Return a command; most have a key."""
        request = Request(key=key, caller="writer") if self._dice.random() < KEYED else Request()
        return Sent(self._drawn(request), request.key is not None)

    def _drawn(self, request: Request) -> Callable[[], Outcome]:
        source, target = self._dice.sample(range(OPEN), 2)
        cents, today = self._dice.randrange(1, MOST), self._world.clock().date()
        what = self._dice.random()
        if ACCOUNTS.stream(str(source)) not in self._world.heads:
            # Some want a number that another has.
            number = f"DE{self._dice.choice([source, target]):04}"
            opened = OpenAccount(owner=f"owner{source % OWNED_BY}", number=number)
            return self._decided(partial(money.open_account, account=str(source)), opened, source, request)
        if what < 0.2:  # noqa: PLR2004 - a workload is made of figures
            return lambda: self._accounts.handle(str(source), Deposit(cents=cents), request)
        if what < 0.3:  # noqa: PLR2004 - as above
            withdraw = partial(money.withdraw, account=str(source), today=today)
            return self._decided(withdraw, Withdraw(cents=cents // 4 + 1), source, request)
        self._world.counts["transfers"] += 1
        transfer = partial(money.transfer, account=str(source), today=today)
        return self._decided(transfer, Transfer(to=str(target), cents=cents), source, request)

    def _decided[C: Command](
        self, decide: Decision[C], command: C, account: int, request: Request
    ) -> Callable[[], Outcome]:
        return lambda: self._transactions.handle(decide, command, request).outcome(ACCOUNTS.stream(str(account)))


def check_money(items: Iterable[Item]) -> Iterator[Finding]:
    """Yield where money was made or lost: each transaction is whole, and no rule was broken at any version."""
    streams = commits_by_stream(items)
    places = {CommitPlace(one.stream, one.version): one for commits in streams.values() for one in commits}
    for commit in (one for one in places.values() if one.siblings):
        there = [places[one] for one in commit.siblings if one in places]
        if len(there) < len(commit.siblings) or any(one.id != commit.id for one in there):
            yield Finding(commit.stream, Wrong.LOST, f"version {commit.version} stands without what belongs to it")
        elif sum(map(_moved, (commit, *there))):
            yield Finding(commit.stream, Wrong.DIFFERING, f"version {commit.version} has made or lost money")
    yield from _accounts({one: commits for one, commits in streams.items() if category_of(one) == ACCOUNTS.category})


def _accounts(accounts: Mapping[str, Sequence[Commit]]) -> Iterator[Finding]:
    left: dict[tuple[str, date], int] = defaultdict(int)
    numbers: list[str | None] = []
    for stream, commits in accounts.items():
        state = ACCOUNTS.initial
        for event in (one.event for commit in commits for one in ACCOUNTS.codec.recorded(commit)):
            state = ACCOUNTS.evolve(state, event)
            if state.cents < 0:
                yield Finding(stream, Wrong.DIFFERING, f"is overdrawn: {state.cents}")
            if isinstance(event, Withdrawn):
                left[state.owner, event.day] += event.cents
        if state.number in numbers:
            yield Finding(stream, Wrong.DIFFERING, f"has a number that another has: {state.number}")
        numbers.append(state.number)
    for (owner, day), cents in left.items():
        if cents > DAILY_LIMIT:
            yield Finding(OWNERS.stream(owner), Wrong.DIFFERING, f"{cents} left on {day}, above the limit")


def _moved(commit: Commit) -> int:
    """Return what a commit adds to the money that there is."""
    if category_of(commit.stream) != ACCOUNTS.category:
        return 0
    events = [one.event for one in ACCOUNTS.codec.recorded(commit)]
    came = sum(one.cents for one in events if isinstance(one, Deposited))
    return came - sum(one.cents for one in events if isinstance(one, Withdrawn))
