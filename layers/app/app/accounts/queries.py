"""The accounts' query routes: balances, beside what every aggregate has."""

from typing import Annotated

from app.accounts.balances import ACCOUNTS_LISTED, Balance, Page
from app.accounts.rules import ACCOUNTS, NoAccountError
from app.queries import Id, Limit, MinVersion, Query, QueryRoutes, Response, etag, json_response

routes = QueryRoutes(ACCOUNTS, "/accounts", missing=NoAccountError)


@routes.get("/accounts")
def find_accounts(
    owner: Annotated[str | None, Query(pattern=r"^[a-z0-9_-]{1,64}$", description="Whose; all if absent.")] = None,
    limit: Limit = 20,
    cursor: Annotated[str | None, Query(max_length=2000, description="From the page before.")] = None,
) -> Page:
    """List accounts by owner."""
    accounts, following = ACCOUNTS_LISTED.find(f"{owner}\0" if owner else "", limit, cursor)
    return Page(accounts=accounts, cursor=following)


@routes.get("/accounts/<id_>")
def get_account(id_: Id, min_version: MinVersion = 0) -> Response[Balance]:
    """Return one account: as the balances have it, or as new as asked for."""
    account = ACCOUNTS_LISTED.get(id_, min_version)
    return json_response(account, ETag=etag(account.version))
