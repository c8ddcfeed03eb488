"""The accounts' command routes. The day that a limit counts by is UTC's."""

from datetime import UTC, date, datetime
from functools import partial

from app.accounts import money
from app.accounts.money import Close, OpenAccount, Transfer, Withdraw
from app.accounts.rules import ACCOUNTS, Deposit
from app.commands import CommandRoutes, HTTPStatus, Id, IdempotencyKey, IfMatch, Json, Response, Versioned

routes = CommandRoutes(ACCOUNTS, "/accounts")


@routes.post("/accounts", status_code=HTTPStatus.CREATED)
def open_account(command: Json[OpenAccount], key: IdempotencyKey = None) -> Response[Versioned]:
    """Open an account under a number that no other open one has."""
    id_ = routes.new_id(key)
    return routes.created(id_, routes.transact(id_, partial(money.open_account, account=id_), command, key))


@routes.post("/accounts/<id_>/deposits")
def deposit(
    id_: Id, command: Json[Deposit], key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response[Versioned]:
    """Put money into an account."""
    return routes.change(id_, command, key, if_match)


@routes.post("/accounts/<id_>/withdrawals")
def withdraw(
    id_: Id, command: Json[Withdraw], key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response[Versioned]:
    """Take money out of an account, within the owner's daily limit over all accounts."""
    decide = partial(money.withdraw, account=id_, today=_today())
    return routes.changed(id_, routes.transact(id_, decide, command, key, if_match))


@routes.post("/accounts/<id_>/transfers")
def transfer(
    id_: Id, command: Json[Transfer], key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response[Versioned]:
    """Move money to another account, all or nothing, within the owner's daily limit over all accounts."""
    decide = partial(money.transfer, account=id_, today=_today())
    return routes.changed(id_, routes.transact(id_, decide, command, key, if_match))


@routes.delete("/accounts/<id_>", status_code=HTTPStatus.NO_CONTENT)
def close(id_: Id, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response[None]:
    """Close an account that is empty; again is no error and no event."""
    routes.transact(id_, partial(money.close, account=id_), Close(), key, if_match)
    return Response(HTTPStatus.NO_CONTENT)


def _today() -> date:
    return datetime.now(UTC).date()
