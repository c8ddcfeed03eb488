"""The owner aggregate: which accounts somebody has. Its events come from rules over several streams, in `money.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from eventfold import Command, Decider, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

# WARNING: names, versions and fields are the stored format. A new shape is a new version, never an edit.


class AccountAdded(Event, name="AccountAdded", version=1):
    """The owner has one account more."""

    account: str


class AccountRemoved(Event, name="AccountRemoved", version=1):
    """The owner has one account less."""

    account: str


type OwnerEvent = AccountAdded | AccountRemoved


class OwnerState(BaseModel, frozen=True):
    """The owner's open accounts, by id."""

    accounts: tuple[str, ...] = ()


def decide(command: Command, owner: OwnerState) -> Sequence[OwnerEvent]:
    """Return nothing: no command is for an owner alone."""
    del command, owner
    return ()


def evolve(owner: OwnerState, event: OwnerEvent) -> OwnerState:
    """Return the state after one event."""
    others = tuple(account for account in owner.accounts if account != event.account)
    return OwnerState(accounts=(*others, event.account) if isinstance(event, AccountAdded) else others)


OWNERS: Decider[Command, OwnerState, OwnerEvent] = Decider(
    category="owner", initial=OwnerState(), decide=decide, evolve=evolve, events=(AccountAdded, AccountRemoved)
)
