"""The accounts' rules, pure: over one stream, and over several."""

from __future__ import annotations

from datetime import date
from functools import partial

import pytest

from app.accounts import money
from app.accounts.balances import BALANCES, BalanceRow
from app.accounts.money import (
    DAILY_LIMIT,
    MAX_ACCOUNTS,
    AccountExistsError,
    Close,
    DailyLimitError,
    NotEmptyError,
    OpenAccount,
    OverdrawnError,
    TooManyAccountsError,
    Transfer,
    Withdraw,
    WrongTargetError,
)
from app.accounts.owners import OWNERS, AccountAdded, AccountRemoved
from app.accounts.rules import (
    ACCOUNTS,
    Account,
    AccountClosedError,
    AccountEvent,
    Closed,
    Deposit,
    Deposited,
    NoAccountError,
    Opened,
    Withdrawn,
)
from eventfold.testing import GivenStreams, given, past
from eventfold.testing.specification import rows_after

TODAY, YESTERDAY = date(2026, 1, 2), date(2026, 1, 1)
OPENED = Opened(owner="ada", number="DE01")
withdraw = partial(money.withdraw, account="a", today=TODAY)
transfer = partial(money.transfer, account="a", today=TODAY)


def world(*more: AccountEvent, b: tuple[AccountEvent, ...] = ()) -> GivenStreams:
    """Return Ada's accounts a and b, and Grace's c."""
    return GivenStreams(
        past(ACCOUNTS, "a", OPENED, *more),
        past(ACCOUNTS, "b", Opened(owner="ada", number="DE02"), *b),
        past(ACCOUNTS, "c", Opened(owner="grace", number="DE03")),
        past(OWNERS, "ada", AccountAdded(account="a"), AccountAdded(account="b")),
        past(OWNERS, "grace", AccountAdded(account="c")),
    )


def test_money_comes_into_an_account_that_is_open() -> None:
    given(ACCOUNTS).when(Deposit(cents=5)).then_refused(NoAccountError)
    given(ACCOUNTS, OPENED).when(Deposit(cents=5)).then(Deposited(cents=5))
    given(ACCOUNTS, OPENED, Closed()).when(Deposit(cents=5)).then_refused(AccountClosedError)


def test_an_account_is_opened_and_its_owner_knows() -> None:
    command = OpenAccount(owner="ada", number="DE01")
    open_account = partial(money.open_account, account="a")
    GivenStreams().when(open_account, command).then(
        past(ACCOUNTS, "a", OPENED), past(OWNERS, "ada", AccountAdded(account="a"))
    )
    world().when(open_account, command).then()
    world().when(open_account, OpenAccount(owner="ada", number="DE09")).then_refused(AccountExistsError)
    many = past(OWNERS, "ada", *(AccountAdded(account=str(n)) for n in range(MAX_ACCOUNTS)))
    GivenStreams(many).when(open_account, command).then_refused(TooManyAccountsError)


def test_an_account_is_closed_once_it_is_empty() -> None:
    close = partial(money.close, account="a")
    world().when(close, Close()).then(past(ACCOUNTS, "a", Closed()), past(OWNERS, "ada", AccountRemoved(account="a")))
    world(Closed()).when(close, Close()).then()
    world(Deposited(cents=1)).when(close, Close()).then_refused(NotEmptyError)
    GivenStreams().when(close, Close()).then_refused(NoAccountError)


def test_no_more_leaves_than_is_there() -> None:
    rich = world(Deposited(cents=10))
    rich.when(withdraw, Withdraw(cents=10)).then(past(ACCOUNTS, "a", Withdrawn(cents=10, day=TODAY)))
    rich.when(withdraw, Withdraw(cents=11)).then_refused(OverdrawnError)
    GivenStreams().when(withdraw, Withdraw(cents=1)).then_refused(NoAccountError)


def test_a_transfer_is_all_or_nothing() -> None:
    rich = world(Deposited(cents=10))
    rich.when(transfer, Transfer(to="c", cents=7)).then(
        past(ACCOUNTS, "a", Withdrawn(cents=7, day=TODAY)), past(ACCOUNTS, "c", Deposited(cents=7))
    )
    rich.when(transfer, Transfer(to="c", cents=11)).then_refused(OverdrawnError)
    for target in ("a", "nobody"):
        rich.when(transfer, Transfer(to=target, cents=1)).then_refused(WrongTargetError)


@pytest.mark.parametrize(
    ("day", "before", "allowed"), [(TODAY, 1, False), (TODAY, 0, True), (YESTERDAY, DAILY_LIMIT, True)]
)
def test_the_daily_limit_counts_all_accounts_of_an_owner(day: date, before: int, *, allowed: bool) -> None:
    others = (Deposited(cents=DAILY_LIMIT), *((Withdrawn(cents=before, day=day),) if before else ()))
    rich = world(Deposited(cents=DAILY_LIMIT), b=others)
    for decide, command in ((withdraw, Withdraw(cents=DAILY_LIMIT)), (transfer, Transfer(to="c", cents=DAILY_LIMIT))):
        found = rich.when(decide, command)
        assert found.refusal is None if allowed else isinstance(found.refusal, DailyLimitError)


def test_what_leaves_on_one_day_adds_up_and_another_day_begins_at_nothing() -> None:
    events = (OPENED, Deposited(cents=9), Withdrawn(cents=1, day=TODAY), Withdrawn(cents=2, day=TODAY))
    state = ACCOUNTS.fold(Account(), events)
    assert (state.cents, state.withdrawn_on(TODAY), state.withdrawn_on(YESTERDAY)) == (6, 3, 0)


def test_balances() -> None:
    row = BalanceRow(id="1", owner="ada", number="DE01")
    rows = rows_after(BALANCES, OPENED, Deposited(cents=9), Withdrawn(cents=4, day=TODAY), Closed())
    assert rows == [row, row.model_copy(update={"cents": 9}), row.model_copy(update={"cents": 5}), None]
