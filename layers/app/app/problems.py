"""Exceptions as HTTP answers: RFC 9457 problem details. What a domain refuses brings its own words."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import NamedTuple

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from app.telemetry import log_failure, logger
from eventfold.core.errors import (
    IdempotencyKeyReusedError,
    ItemTooLargeError,
    PreconditionFailedError,
    RefusedError,
    StoreUnavailableError,
    TooManyConflictsError,
)

PROBLEM_JSON = "application/problem+json"

MAX_ERRORS = 20
"""Faults that one answer names: a small body can hold thousands."""


class RequestError(Exception):
    """A request that can't be served as it stands. The detail reaches the caller."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Problem(NamedTuple):
    """What a caller is told."""

    status: HTTPStatus
    detail: str


_PROBLEMS: dict[type[Exception], Problem] = {
    NotFoundError: Problem(HTTPStatus.NOT_FOUND, "There is nothing at this address."),
    PreconditionFailedError: Problem(HTTPStatus.PRECONDITION_FAILED, "If-Match does not match the current version."),
    IdempotencyKeyReusedError: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "This Idempotency-Key was used for another request."
    ),
    TooManyConflictsError: Problem(HTTPStatus.CONFLICT, "Others changed this at the same time. Try again."),
    ItemTooLargeError: Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The change is too large to store."),
    StoreUnavailableError: Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too busy to answer now. Try again."),
}

_REFUSALS = {
    "conflict": HTTPStatus.CONFLICT,
    "missing": HTTPStatus.NOT_FOUND,
    "gone": HTTPStatus.GONE,
    "malformed": HTTPStatus.BAD_REQUEST,
}


def answer(error: Exception) -> Response[str]:
    """Return the answer for any exception: never a stack trace, never an internal name."""
    match error:
        case RequestError():
            return respond(Problem(error.status, error.detail))
        case RefusedError():
            return respond(Problem(_REFUSALS[error.kind], error.detail))
        case RequestValidationError():
            return _answer_invalid(error)
        case StoreUnavailableError():
            logger.warning("store unavailable", extra={"reason": error.reason})
            return respond(_PROBLEMS[StoreUnavailableError], {"Retry-After": str(error.retry_after)})
    for type_, problem in _PROBLEMS.items():
        if isinstance(error, type_):
            return respond(problem)
    log_failure("unhandled error", error)
    return respond(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side."))


def respond(
    problem: Problem, headers: dict[str, str] | None = None, errors: list[dict[str, str]] | None = None
) -> Response[str]:
    """Return a problem as a response; `errors` names the fields at fault."""
    body = {
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
        **({"errors": errors} if errors else {}),
    }
    return Response(problem.status.value, PROBLEM_JSON, json.dumps(body), dict(headers or {}))


def _answer_invalid(error: RequestValidationError) -> Response[str]:
    """Say which fields are wrong and why: path 404, headers and query 400, body 422."""
    faults = [(tuple(map(str, fault["loc"])), str(fault["msg"])) for fault in error.errors()]
    places = {loc[0] for loc, _ in faults}
    if "path" in places:
        return respond(_PROBLEMS[NotFoundError])
    errors = [{"field": ".".join(loc), "message": message} for loc, message in faults[:MAX_ERRORS]]
    if places == {"body"}:
        problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The body does not fit the schema.")
    else:
        problem = Problem(HTTPStatus.BAD_REQUEST, "A header or query parameter is not valid.")
    return respond(problem, errors=errors)
