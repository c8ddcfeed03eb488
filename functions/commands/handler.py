"""HTTP commands: each route runs one command on one user."""

import time
import uuid
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from app.http import (
    Api,
    IdempotencyKey,
    IfMatch,
    Json,
    LambdaContext,
    Response,
    UserId,
    Versioned,
    request_of,
    versioned,
)
from app.telemetry import counted, invocation
from app.users.rules import CreateUser, DeleteUser, UpdateUser, UserCommand
from app.wiring import users
from eventfold import Outcome, Request
from eventfold.dynamodb.client import CALL_SECONDS

# WARNING: user ids are derived from it. Another value would make a repeated POST create a second user.
ID_NAMESPACE = uuid.UUID("6f1c2f0e-6d0b-5d0a-9a55-0b9c1c9d2f4e")

api = Api()


@api.post("/users", status_code=HTTPStatus.CREATED)
def create_user(command: Json[CreateUser], key: IdempotencyKey = None) -> Response[Versioned]:
    """Create a user. Its id follows from the idempotency key where there is one, so that a repeat finds it."""
    request = replace(request_of(api.current_event, key), new=True)
    id_ = str(uuid.uuid5(ID_NAMESPACE, f"{request.caller}\n{key}") if key else uuid.uuid4())
    outcome = run(id_, command, request)
    return versioned(HTTPStatus.CREATED, id_, outcome.version, Location=f"/users/{id_}")


@api.patch("/users/<id_>")
def update_user(
    id_: UserId, command: Json[UpdateUser], key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response[Versioned]:
    """Change a user; nothing to change is no event."""
    outcome = run(id_, command, request_of(api.current_event, key, if_match))
    return versioned(HTTPStatus.OK, id_, outcome.version)


@api.delete("/users/<id_>", status_code=HTTPStatus.NO_CONTENT)
def delete_user(id_: UserId, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response[None]:
    """Delete a user; again is no error and no event."""
    run(id_, DeleteUser(), request_of(api.current_event, key, if_match))
    return Response(HTTPStatus.NO_CONTENT)


def run(id_: str, command: UserCommand, request: Request) -> Outcome:
    """Run a command, counted and logged; in time for an answer."""
    time_left = api.lambda_context.get_remaining_time_in_millis() / 1000 - CALL_SECONDS
    request = replace(request, deadline=time.monotonic() + time_left)
    with counted(type(command).__name__) as count:
        return count(users().handle(id_, command, request))


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway (HTTP API, payload format 2.0)."""
    return api.resolve(event, context)
