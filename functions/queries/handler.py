"""HTTP queries: read models, the audit trail, and the state at a version or time."""

from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AwareDatetime, Field

from app.history import AuditTrail, PastUser
from app.http import Api, UserId, etag, json_response
from app.problems import RequestError
from app.telemetry import invocation
from app.users.directory import Page, User
from app.users.stats import Stats
from app.wiring import directory, history, stats

Limit = Annotated[int, Query(ge=1, le=100, description="How many at the most.")]
Version = Annotated[int, Query(ge=0, le=10**15)]
MAX_DAYS = 366
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2999, 12, 31))]

api = Api()


@api.get("/users")
def find_users(
    prefix: Annotated[str, Query(max_length=200, description="What the name begins with, in any case.")] = "",
    limit: Limit = 20,
    cursor: Annotated[str | None, Query(max_length=2000, description="From the page before.")] = None,
) -> Page:
    """List users by name."""
    return directory().find(prefix, limit, cursor)


@api.get("/users/<id_>")
def get_user(
    id_: UserId,
    min_version: Annotated[int, Query(ge=0, le=10**15, description="The version that the answer shows at least.")] = 0,
) -> Response[User]:
    """Return one user: as the directory has it, or as new as asked for."""
    user = directory().get(id_, min_version)
    return json_response(user, ETag=etag(user.version))


@api.get("/users/<id_>/events")
def get_events(id_: UserId, after: Version = 0, limit: Limit = 100) -> AuditTrail:
    """Return what happened to a user, behind version `after`."""
    return history().events(id_, after, limit)


@api.get("/users/<id_>/state")
def get_state(
    id_: UserId,
    version: Annotated[int | None, Query(ge=1, le=10**15)] = None,
    at: Annotated[AwareDatetime | None, Query(description="A moment, as 2026-01-31T12:00:00Z.")] = None,
) -> PastUser:
    """Return a user as it was at a version or a moment, replayed; as it is now without either."""
    if version is not None and at is not None:
        raise RequestError(HTTPStatus.BAD_REQUEST, "A state is asked for by version or by time, not by both.")
    return history().state(id_, version, at)


@api.get("/stats")
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
    return stats().get(first, last)


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway (HTTP API, payload format 2.0)."""
    return api.resolve(event, context)
