"""The users' query routes: the directory and the statistics, beside what every aggregate has."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import Field

from app import main
from app.queries import (
    HTTPStatus,
    Id,
    Limit,
    MinVersion,
    Query,
    QueryRoutes,
    RequestError,
    Response,
    etag,
    json_response,
)
from app.users.directory import USERS_LISTED, Page, User
from app.users.rules import EMAIL, USERS, UserDeletedError, UserNotFoundError
from app.users.stats import Stats, stats_between

MAX_DAYS = 366
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2999, 12, 31))]

routes = QueryRoutes(USERS, "/users", missing=UserNotFoundError)


@routes.get("/users")
def find_users(
    prefix: Annotated[str, Query(max_length=200, description="What the name begins with, in any case.")] = "",
    limit: Limit = 20,
    cursor: Annotated[str | None, Query(max_length=2000, description="From the page before.")] = None,
    email: Annotated[str | None, Query(max_length=320, description="Whose email it is, in any case.")] = None,
) -> Page:
    """List users by name, or find the one who has an email."""
    if email is not None:
        if prefix or cursor:
            raise RequestError(HTTPStatus.BAD_REQUEST, "Users are found by name or by email, not by both.")
        return Page(users=_having(email))
    users, following = USERS_LISTED.find(prefix, limit, cursor)
    return Page(users=users, cursor=following)


def _having(email: str) -> list[User]:
    id_ = main.application.holder(USERS, EMAIL, email)
    try:
        return [USERS_LISTED.get(id_, min_version=1)] if id_ is not None else []
    except (UserNotFoundError, UserDeletedError):  # Deleted since its email was looked up.
        return []


@routes.get("/users/<id_>")
def get_user(id_: Id, min_version: MinVersion = 0) -> Response[User]:
    """Return one user: as the directory has it, or as new as asked for."""
    user = USERS_LISTED.get(id_, min_version)
    return json_response(user, ETag=etag(user.version))


@routes.get("/stats")
def get_stats(
    first: Annotated[Day | None, Query(alias="from", description="The first day, as 2026-01-31.")] = None,
    last: Annotated[Day | None, Query(alias="to", description="The last day; today if absent.")] = None,
) -> Stats:
    """Return how many users were created and deleted, in all and by day; the last 30 days if none are named."""
    last = last or datetime.now(UTC).date()
    first = first or last - timedelta(days=29)
    if first > last:
        raise RequestError(HTTPStatus.BAD_REQUEST, "The first day is not after the last.")
    if (last - first).days >= MAX_DAYS:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"One answer shows at most {MAX_DAYS} days.")
    return stats_between(first, last)
