"""Decisions over several streams: what they read holds when they write, or they are decided again."""

from __future__ import annotations

import math
from copy import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from eventfold import Backoff, CommandHandler, Commit, Head, Request, load
from eventfold.aggregates.transactions import Transacted, TransactionHandler
from eventfold.core.commit import Copy
from eventfold.core.errors import (
    IdempotencyKeyReusedError,
    InvalidCommitError,
    PreconditionFailedError,
    StoreUnavailableError,
    TooManyConflictsError,
)
from eventfold.memory import MemoryEventStore
from eventfold.read_models.tallies import Tally
from eventfold.testing.specification import GivenStreams, past
from tests.accounts import (
    ACCOUNTS,
    OWNERS,
    Deposit,
    Deposited,
    Freeze,
    Frozen,
    NoAccountError,
    Opened,
    OverdrawnError,
    OwnerFrozenError,
    Transfer,
    Withdrawn,
    transfer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventfold.aggregates.transactions import Streams, Writes
    from eventfold.core.unique import KeyMove
    from tests.accounts import AccountEvent

ADA = past(ACCOUNTS, "ada", Opened(owner="ada"), Deposited(amount=10))
GRACE = past(ACCOUNTS, "grace", Opened(owner="grace"))
TRANSFER = Transfer(source="ada", target="grace", amount=7)
NO_WAIT = Backoff(base=0)


def test_a_transfer_is_one_rule_over_two_accounts() -> None:
    both = GivenStreams(ADA, GRACE)
    both.when(transfer, TRANSFER).then(
        past(ACCOUNTS, "ada", Withdrawn(amount=7)), past(ACCOUNTS, "grace", Deposited(amount=7))
    )
    both.when(transfer, Transfer(source="ada", target="grace", amount=0)).then()
    both.when(transfer, Transfer(source="ada", target="grace", amount=11)).then_refused(OverdrawnError)
    both.when(transfer, Transfer(source="ada", target="alan", amount=1)).then_refused(NoAccountError)
    frozen = GivenStreams(ADA, GRACE, past(OWNERS, "ada", Frozen()))
    frozen.when(transfer, TRANSFER).then_refused(OwnerFrozenError)
    with pytest.raises(AssertionError):
        both.when(transfer, TRANSFER).then(past(ACCOUNTS, "ada", Withdrawn(amount=7)))


class Store(MemoryEventStore):
    """Counts what is asked of it, and lets others write before it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], object]] = []
        self.transactions: list[tuple[int, int]] = []
        self.reads: list[bool] = []

    def append_together(
        self, commits: Sequence[Commit], *, guards: Sequence[Head] = (), moves: Sequence[KeyMove] = ()
    ) -> None:
        if self.before:
            self.before.pop(0)()
        self.transactions.append((len(commits), len(guards)))
        super().append_together(commits, guards=guards, moves=moves)

    def newest_first(self, *args: Any, **more: Any) -> Any:
        self.reads.append(more["consistent"])
        return super().newest_first(*args, **more)


@pytest.fixture
def store() -> Store:
    store = Store()
    accounts = CommandHandler(store, ACCOUNTS)
    accounts.handle("ada", Deposit(owner="ada", amount=10))
    accounts.handle("grace", Deposit(owner="grace", amount=0))
    store.reads.clear()
    return store


def handler(store: Store) -> TransactionHandler:
    return TransactionHandler(store, backoff=NO_WAIT)


def balances(store: Store) -> tuple[int, int]:
    ada, grace = (load(store, ACCOUNTS, f"account-{name}").state.balance for name in ("ada", "grace"))
    return ada, grace


def deposit(store: Store, who: str, amount: int) -> None:
    CommandHandler(store, ACCOUNTS).handle(who, Deposit(owner=who, amount=amount))


def test_what_is_read_is_written_or_guarded(store: Store) -> None:
    done = handler(store).handle(transfer, TRANSFER)
    assert done == Transacted({"account-ada": 3, "account-grace": 3, "owner-ada": 0}, appended=2)
    assert balances(store) == (3, 7)
    assert store.transactions == [(2, 1)], "the owner's stream, which nobody has begun, is guarded"
    assert store.reads[:3] == [False] * 3


def test_a_process_that_knows_the_streams_reads_nothing(store: Store) -> None:
    mine = handler(store)
    mine.handle(transfer, Transfer(source="ada", target="grace", amount=1))
    store.reads.clear()
    mine.handle(transfer, Transfer(source="grace", target="ada", amount=1))
    assert store.reads == [False], "the other owner"
    mine.handle(transfer, Transfer(source="ada", target="grace", amount=1))
    assert store.reads == [False], "what was guarded is known too"
    assert balances(store) == (9, 1)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_stream_that_has_moved_is_decided_on_again(store: Store, times: int) -> None:
    store.before = [lambda: deposit(store, "grace", 5)] * times
    done = handler(store).handle(transfer, TRANSFER)
    assert done.conflicts == times
    assert balances(store) == (3, 7 + 5 * times)


def test_a_guard_that_has_moved_changes_the_decision(store: Store) -> None:
    store.before = [lambda: CommandHandler(store, OWNERS).handle("ada", Freeze())]
    with pytest.raises(OwnerFrozenError):
        handler(store).handle(transfer, TRANSFER)
    assert balances(store) == (10, 0)
    assert store.transactions == [(2, 1), (0, 3)], "a refusal is proven by guards alone"


def test_a_refusal_on_what_is_stale_is_no_refusal(store: Store) -> None:
    mine = handler(store)
    mine.handle(transfer, Transfer(source="ada", target="grace", amount=10))
    deposit(store, "ada", 7)
    assert mine.handle(transfer, TRANSFER).versions["account-ada"] == 5
    assert balances(store) == (0, 17)


def test_a_refusal_on_states_that_did_not_stand_together_is_no_refusal(store: Store) -> None:
    mine = handler(store)
    mine.handle(transfer, Transfer(source="ada", target="grace", amount=10))
    store.before = [lambda: deposit(store, "ada", 7)]  # After the consistent reads, before their proof.
    assert mine.handle(transfer, TRANSFER).conflicts == 1
    assert balances(store) == (0, 17)


def test_nothing_to_do_is_proven_and_writes_nothing(store: Store) -> None:
    assert handler(store).handle(transfer, Transfer(source="ada", target="ada", amount=1)) == Transacted(
        {"account-ada": 2, "owner-ada": 0}
    )
    assert store.transactions == [(0, 2)]


def test_the_same_key_again_changes_nothing(store: Store) -> None:
    request = Request(key="k", caller="c")
    done = handler(store).handle(transfer, TRANSFER, request)
    again = handler(store).handle(transfer, TRANSFER, request)
    assert (again.repeated, again.versions["account-ada"]) == (True, done.versions["account-ada"])
    assert balances(store) == (3, 7)
    with pytest.raises(IdempotencyKeyReusedError):
        handler(store).handle(transfer, Transfer(source="ada", target="grace", amount=1), request)


@pytest.mark.parametrize("hurried_", [False, True])
def test_a_repeat_that_meets_what_was_sent_before_is_a_repeat(store: Store, *, hurried_: bool) -> None:
    request = Request(key="k")
    sent_before = TransactionHandler(store, clock=lambda: datetime(2099, 1, 1, tzinfo=UTC))
    store.before = [lambda: sent_before.handle(transfer, TRANSFER, request)]
    hurried = replace(request, deadline=-math.inf) if hurried_ else request
    assert handler(store).handle(transfer, TRANSFER, hurried).repeated
    assert balances(store) == (3, 7)


def test_the_expected_version_is_that_of_the_first_stream(store: Store) -> None:
    with pytest.raises(PreconditionFailedError):
        handler(store).handle(transfer, TRANSFER, Request(expected_version=1))
    assert handler(store).handle(transfer, TRANSFER, Request(expected_version=2)).versions["account-ada"] == 3


def test_a_store_out_of_reach_is_no_refusal(store: Store) -> None:
    with (
        patch.object(store, "newest_first", side_effect=StoreUnavailableError("x")),
        pytest.raises(StoreUnavailableError),
    ):
        handler(store).handle(transfer, TRANSFER)
    assert store.transactions == []


def test_races_that_are_always_lost_end_in_a_word(store: Store) -> None:
    store.before = [lambda: deposit(store, "grace", 1)] * 20
    with pytest.raises(TooManyConflictsError):
        handler(store).handle(transfer, TRANSFER)


def test_a_decision_writes_to_what_it_has_read_alone(store: Store) -> None:
    def elsewhere(_: Transfer, streams: Streams) -> list[Writes]:
        return [replace(streams.read(ACCOUNTS, "ada"), stream="account-alan").then(Deposited(amount=1))]

    def not_home(command: Transfer, streams: Streams) -> list[Writes]:
        streams.read(ACCOUNTS, command.source)
        return [streams.read(ACCOUNTS, command.target).then(Deposited(amount=1))]

    with pytest.raises(InvalidCommitError, match="that it has read"):
        handler(store).handle(elsewhere, TRANSFER)
    with pytest.raises(InvalidCommitError, match="the first stream that it reads"):
        handler(store).handle(not_home, TRANSFER, Request(key="k"))
    handler(store).handle(not_home, TRANSFER)
    assert balances(store) == (10, 1)


def test_one_stream_alone_is_no_transaction(store: Store) -> None:
    def alone(command: Transfer, streams: Streams) -> list[Writes]:
        one = streams.read(ACCOUNTS, command.source)
        return [one.then(Withdrawn(amount=1)), streams.read(ACCOUNTS, command.source).then(Withdrawn(amount=2))]

    assert handler(store).handle(alone, TRANSFER) == Transacted({"account-ada": 4}, appended=2)
    assert store.transactions == [(1, 0)]
    (_, last) = store.oldest_first("account-ada")
    assert (last.siblings, len(last.events)) == ((), 2)


def opened_jointly(command: Transfer, streams: Streams) -> list[Writes]:
    """One fact of two accounts."""
    first, second = (streams.read(ACCOUNTS, id_) for id_ in (command.source, command.target))
    opened, own = Opened(owner="both"), Opened(owner="both")
    return [first.then(Deposited(amount=1), opened, opened), second.then(own, opened)]


def test_an_event_that_goes_to_several_streams_is_one_fact_at_home_in_the_first(store: Store) -> None:
    handler(store).handle(opened_jointly, TRANSFER)
    *_, first = store.oldest_first("account-ada")
    *_, second = store.oldest_first("account-grace")
    assert (first.copies, second.copies) == ((), (Copy(4, "account-ada", 4),))
    recorded = [ACCOUNTS.codec.recorded(one) for one in (first, second)]
    assert [[one.is_copy for one in some] for some in recorded] == [[False, False, False], [False, True]]
    tally: Tally[AccountEvent] = Tally("opened", "account", ACCOUNTS.codec, lambda _: [("row", "events", 1)])
    assert tally.counts(one for some in recorded for one in some) == {"row": {"events": 4}}
    assert len(recorded[1]) == 2, "the rows of each stream see it"


def test_a_repeat_that_the_first_stream_has_forgotten_is_recognised_in_the_next(store: Store) -> None:
    """Its last 100 commits with a key are what a stream remembers."""
    request = Request(key="first")
    done = handler(store).handle(transfer, TRANSFER, request)
    accounts = CommandHandler(store, ACCOUNTS)
    for n in range(101):
        accounts.handle("ada", Deposit(owner="ada", amount=1), Request(key=str(n)))
    again = handler(store).handle(transfer, TRANSFER, request)
    assert again.repeated
    assert again.versions == {"account-ada": 104, "account-grace": done.versions["account-grace"]}
    assert balances(store) == (104, 7)
