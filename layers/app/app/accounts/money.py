"""Rules over several streams. Pure: what they read is written or guarded, and the day is told to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.accounts.owners import OWNERS, AccountAdded, AccountRemoved
from app.accounts.rules import (
    ACCOUNTS,
    Account,
    AccountError,
    AccountEvent,
    AccountId,
    Cents,
    Closed,
    Deposited,
    Number,
    Opened,
    Owner,
    Withdrawn,
    must_be_open,
)
from eventfold import Command

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from eventfold.aggregates.transactions import Read, Streams, Writes

DAILY_LIMIT = 100_000
"""What may leave all accounts of one owner on one day, in cents."""
MAX_ACCOUNTS = 20
"""Of one owner: each is guarded when money leaves one of them, for 2 write units."""


class OpenAccount(Command):
    """Open an account under a number that no other open account has."""

    owner: Owner
    number: Number


class Withdraw(Command):
    """Take money out of an account."""

    cents: Cents


class Transfer(Command):
    """Move money from an account to another one."""

    to: AccountId
    cents: Cents


class Close(Command):
    """Close an account that is empty, for ever."""


class AccountExistsError(AccountError, detail="There is such an account already, of another owner or number."):
    """There is such an account already, and it is not the one asked for."""


class TooManyAccountsError(AccountError, detail=f"An owner has at most {MAX_ACCOUNTS} accounts."):
    """The owner has as many accounts as may be."""


class OverdrawnError(AccountError, detail="The account does not have so much."):
    """There is less in the account."""


class DailyLimitError(AccountError, detail="More than the owner may take out of all accounts on one day."):
    """The owner's limit of the day."""


class NotEmptyError(AccountError, detail="There is money in the account."):
    """An account that has money is not closed."""


class WrongTargetError(AccountError, detail="The account to transfer to is not open, or is the same."):
    """Money can't go there."""


def open_account(command: OpenAccount, streams: Streams, *, account: str) -> Iterable[Writes]:
    """Open an account, known to its owner. Asking twice for the same is no event."""
    opened, owner = streams.read(ACCOUNTS, account), streams.read(OWNERS, command.owner)
    if opened.state.status != "none":
        if (opened.state.owner, opened.state.number) != (command.owner, command.number):
            raise AccountExistsError
        return ()
    if len(owner.state.accounts) >= MAX_ACCOUNTS:
        raise TooManyAccountsError
    return opened.then(Opened(**command.model_dump())), owner.then(AccountAdded(account=account))


def close(command: Close, streams: Streams, *, account: str) -> Iterable[Writes]:
    """Close an account, and take it from its owner. Again is no event."""
    del command
    closed = streams.read(ACCOUNTS, account)
    if closed.state.status == "closed":
        return ()
    must_be_open(closed.state)
    if closed.state.cents:
        raise NotEmptyError
    return closed.then(Closed()), streams.read(OWNERS, closed.state.owner).then(AccountRemoved(account=account))


def withdraw(command: Withdraw, streams: Streams, *, account: str, today: date) -> Iterable[Writes]:
    """Take money out."""
    source = streams.read(ACCOUNTS, account)
    return (source.then(_leaving(source, command.cents, streams, today)),)


def transfer(command: Transfer, streams: Streams, *, account: str, today: date) -> Iterable[Writes]:
    """Move money, all or nothing."""
    source, target = streams.read(ACCOUNTS, account), streams.read(ACCOUNTS, command.to)
    leaving = _leaving(source, command.cents, streams, today)
    if target.state.status != "open" or target.stream == source.stream:
        raise WrongTargetError
    return source.then(leaving), target.then(Deposited(cents=command.cents))


def _leaving(source: Read[Account, AccountEvent], cents: int, streams: Streams, today: date) -> Withdrawn:
    """Let money leave an account: no overdraft, and no more on one day than the limit over all that its owner has."""
    must_be_open(source.state)
    if source.state.cents < cents:
        raise OverdrawnError
    owner = streams.read(OWNERS, source.state.owner).state
    accounts = (streams.read(ACCOUNTS, account).state for account in owner.accounts)
    if sum(account.withdrawn_on(today) for account in accounts) + cents > DAILY_LIMIT:
        raise DailyLimitError
    return Withdrawn(cents=cents, day=today)
