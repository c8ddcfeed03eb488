"""Processes with their caches, on a store whose reads lag, answer as one that decides everything in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from eventfold import Backoff, CommandHandler, RefusedError, Request, load
from eventfold.aggregates.transactions import TransactionHandler
from tests.accounts import ACCOUNTS, OWNERS, Deposit, Freeze, Transfer, transfer
from tests.unit.test_stale_reads import LaggingStore

NAMES = ("ada", "grace", "alan")
names = st.sampled_from(NAMES)
MOMENTS = (datetime(2099, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n) for n in count())


@dataclass(frozen=True)
class Step:
    """One command, sent to one of several processes while reads lag so far."""

    what: str
    source: str
    target: str
    amount: int
    keyed: bool
    process: int
    lag: int


@dataclass
class Model:
    """What there is after each command, decided in order."""

    balances: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 5))
    frozen: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)

    def transfer(self, one: Step, key: str) -> str:
        if one.keyed and key in self.done:
            return "repeated"
        if one.source in self.frozen or self.balances[one.source] < one.amount:
            return "refused"
        if not one.amount or one.source == one.target:
            return "nothing"
        self.balances[one.source] -= one.amount
        self.balances[one.target] += one.amount
        self.done |= {key} if one.keyed else set()
        return "done"


class Process:
    """A process with caches of its own."""

    def __init__(self, store: LaggingStore) -> None:
        self.accounts = CommandHandler(store, ACCOUNTS, backoff=Backoff(base=0))
        self.owners = CommandHandler(store, OWNERS, backoff=Backoff(base=0))
        # Sent twice in the same millisecond, a command is the same commit: it is done, and neither is told of the other.
        self.transactions = TransactionHandler(store, backoff=Backoff(base=0), clock=lambda: next(MOMENTS))

    def transfer(self, one: Step, key: str) -> str:
        command = Transfer(source=one.source, target=one.target, amount=one.amount)
        try:
            done = self.transactions.handle(transfer, command, Request(key=key if one.keyed else None))
        except RefusedError:
            return "refused"
        return "repeated" if done.repeated else "done" if done.appended else "nothing"


@given(
    st.lists(
        st.builds(
            Step,
            st.sampled_from(("transfer", "transfer", "transfer", "deposit", "freeze")),
            names,
            names,
            st.integers(0, 6),
            st.booleans(),
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        max_size=25,
    )
)
def test_lagging_processes_answer_as_one_that_decides_in_order(steps: list[Step]) -> None:
    store, model = LaggingStore(), Model()
    for name in NAMES:
        CommandHandler(store, ACCOUNTS).handle(name, Deposit(owner=name, amount=5))
    processes = [Process(store) for _ in range(3)]
    for one in steps:
        process, store.lag = processes[one.process], one.lag
        match one.what:
            case "deposit":
                process.accounts.handle(one.source, Deposit(owner=one.source, amount=one.amount))
                model.balances[one.source] += one.amount
            case "freeze":
                process.owners.handle(one.source, Freeze())
                model.frozen.add(one.source)
            case _:
                key = f"{one.source}-{one.target}-{one.amount}"
                assert process.transfer(one, key) == model.transfer(one, key), one
    assert {name: load(store, ACCOUNTS, f"account-{name}").state.balance for name in NAMES} == model.balances
