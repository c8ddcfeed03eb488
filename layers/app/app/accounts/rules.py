"""The account aggregate: command, events, state, `decide`, `evolve`. What touches other streams is in `money.py`."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - pydantic reads the annotations at run time
from typing import Annotated, Literal, assert_never

from pydantic import BaseModel, Field

from eventfold import Command, Decider, Event, RefusedError, Unique

Cents = Annotated[int, Field(ge=1, le=10**12)]
Owner = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
AccountId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Number = Annotated[str, Field(pattern=r"^[A-Z0-9]{4,34}$")]

# --- Command ----------------------------------------------------------------------------------------------


class Deposit(Command):
    """Put money into an account."""

    cents: Cents


# --- Events -----------------------------------------------------------------------------------------------
# WARNING: names, versions and fields are the stored format. A new shape is a new version, never an edit.


class Opened(Event, name="AccountOpened", version=1):
    """An account came to be."""

    owner: str
    number: str


class Deposited(Event, name="Deposited", version=1):
    """Money came in."""

    cents: int


class Withdrawn(Event, name="Withdrawn", version=1):
    """Money went out, on a day that the owner's limit counts."""

    cents: int
    day: date


class Closed(Event, name="AccountClosed", version=1):
    """The account is gone, and its number free again. The events stay."""


type AccountEvent = Opened | Deposited | Withdrawn | Closed

# --- State ------------------------------------------------------------------------------------------------


class Account(BaseModel, frozen=True):
    """What the rules need to know; `withdrawn` is what went out on `day`, the last one on which anything did."""

    status: Literal["none", "open", "closed"] = "none"
    owner: str = ""
    number: str | None = None
    cents: int = 0
    day: date | None = None
    withdrawn: int = 0

    def withdrawn_on(self, day: date) -> int:
        """Return what went out on a day: today, or what some clock takes for it."""
        return self.withdrawn if self.day == day else 0


# --- Rules ------------------------------------------------------------------------------------------------


class AccountError(RefusedError):
    """A rule refused the command."""


class NoAccountError(AccountError, kind="missing", detail="There is no such account."):
    """There is no such account."""


class AccountClosedError(AccountError, kind="gone", detail="The account was closed."):
    """The account was closed."""


def must_be_open(account: Account) -> None:
    """Refuse an account that is not there, or not any more.

    Raises:
        NoAccountError, AccountClosedError: so it is.
    """
    if account.status == "none":
        raise NoAccountError
    if account.status == "closed":
        raise AccountClosedError


def decide(command: Deposit, account: Account) -> list[AccountEvent]:
    """Return what happens.

    Raises:
        AccountError: the account is not open.
    """
    must_be_open(account)
    return [Deposited(cents=command.cents)]


def evolve(account: Account, event: AccountEvent) -> Account:
    """Return the state after one event."""
    match event:
        case Opened():
            return Account(status="open", owner=event.owner, number=event.number)
        case Deposited():
            return account.model_copy(update={"cents": account.cents + event.cents})
        case Withdrawn():
            withdrawn = account.withdrawn_on(event.day) + event.cents
            cents = account.cents - event.cents
            return account.model_copy(update={"cents": cents, "day": event.day, "withdrawn": withdrawn})
        case Closed():
            return Account(status="closed", owner=account.owner)
        case _:
            assert_never(event)


NUMBER = Unique[Account]("number", of=lambda account: account.number)
"""No two open accounts have one number."""

ACCOUNTS: Decider[Deposit, Account, AccountEvent] = Decider(
    category="account",
    initial=Account(),
    decide=decide,
    evolve=evolve,
    events=(Opened, Deposited, Withdrawn, Closed),
    unique=(NUMBER,),
)
