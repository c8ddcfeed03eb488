"""Balances, a read model: its row, its `project`, its query. A list by owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from pydantic import BaseModel

from app.accounts.rules import (
    ACCOUNTS,
    AccountClosedError,
    AccountEvent,
    Closed,
    Deposited,
    NoAccountError,
    Opened,
    Withdrawn,
)
from app.lists import RowQueries, place
from eventfold.read_models.projections import Projection

if TYPE_CHECKING:
    from eventfold import Recorded


class BalanceRow(BaseModel, frozen=True):
    """What is in one account."""

    id: str
    owner: str
    number: str
    cents: int = 0


def project(row: BalanceRow | None, recorded: Recorded[AccountEvent]) -> BalanceRow | None:
    """Return the row after one event; None once the account is closed."""
    event = recorded.event
    match event:
        case Opened():
            return BalanceRow(id=recorded.stream.partition("-")[2], owner=event.owner, number=event.number)
        case Deposited():
            return row and row.model_copy(update={"cents": row.cents + event.cents})
        case Withdrawn():
            return row and row.model_copy(update={"cents": row.cents - event.cents})
        case Closed():
            return None
        case _:
            assert_never(event)


BALANCES: Projection[BalanceRow, AccountEvent] = Projection(
    name="balances",
    category=ACCOUNTS.category,
    codec=ACCOUNTS.codec,
    row=BalanceRow,
    project=project,
    sort_key=lambda stream, row: place(row.owner, stream),
)


class Balance(BalanceRow, frozen=True):
    """An account with the version of the last event that its balance has seen."""

    version: int


class Page(BaseModel, frozen=True):
    """Some accounts, by owner; `cursor` asks for what follows and is null at the end."""

    accounts: list[Balance]
    cursor: str | None = None


ACCOUNTS_LISTED = RowQueries(BALANCES, Balance, missing=NoAccountError, gone=AccountClosedError)
"""Queries of the balances."""
