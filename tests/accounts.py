"""A small domain of several streams: accounts, transfers between them, a daily limit of their owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from eventfold import Command, Decider, Event, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventfold.aggregates.transactions import Streams, Writes


class Opened(Event, name="Opened"):
    owner: str


class Deposited(Event, name="Deposited"):
    amount: int


class Withdrawn(Event, name="Withdrawn"):
    amount: int


type AccountEvent = Opened | Deposited | Withdrawn


class Account(BaseModel, frozen=True):
    owner: str = ""
    balance: int = 0


class Deposit(Command):
    owner: str
    amount: int


class NoAccountError(RefusedError, kind="missing", detail="There is no such account."):
    pass


class OverdrawnError(RefusedError, detail="The account does not have so much."):
    pass


def deposit(command: Deposit, account: Account) -> list[AccountEvent]:
    opened: list[AccountEvent] = [] if account.owner else [Opened(owner=command.owner)]
    return [*opened, Deposited(amount=command.amount)]


def evolve(account: Account, event: AccountEvent) -> Account:
    match event:
        case Opened():
            return Account(owner=event.owner)
        case Deposited():
            return account.model_copy(update={"balance": account.balance + event.amount})
        case Withdrawn():
            return account.model_copy(update={"balance": account.balance - event.amount})


ACCOUNTS: Decider[Deposit, Account, AccountEvent] = Decider(
    "account", Account(), deposit, evolve, (Opened, Deposited, Withdrawn)
)


class Frozen(Event, name="Frozen"):
    pass


class Thawed(Event, name="Thawed"):
    pass


class Owner(BaseModel, frozen=True):
    frozen_: bool = False


class Freeze(Command):
    pass


OWNERS: Decider[Freeze, Owner, Frozen | Thawed] = Decider(
    "owner",
    Owner(),
    lambda _, owner: [] if owner.frozen_ else [Frozen()],
    lambda _, event: Owner(frozen_=isinstance(event, Frozen)),
    (Frozen, Thawed),
)


class OwnerFrozenError(RefusedError, detail="The owner's accounts are frozen."):
    pass


class Transfer(Command):
    source: str
    target: str
    amount: int


def transfer(command: Transfer, streams: Streams) -> Iterable[Writes]:
    """Move money, unless the owner of the account that it leaves is frozen: a stream chosen by what was read."""
    source, target = (streams.read(ACCOUNTS, id_) for id_ in (command.source, command.target))
    if not (source.state.owner and target.state.owner):
        raise NoAccountError
    if streams.read(OWNERS, source.state.owner).state.frozen_:
        raise OwnerFrozenError
    if source.state.balance < command.amount:
        raise OverdrawnError
    if not command.amount or command.source == command.target:
        return ()
    return source.then(Withdrawn(amount=command.amount)), target.then(Deposited(amount=command.amount))
