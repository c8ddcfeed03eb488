"""The users' command routes: each runs one command on one user."""

from app.commands import CommandRoutes, HTTPStatus, Id, IdempotencyKey, IfMatch, Json, Response, Versioned
from app.users.rules import USERS, CreateUser, DeleteUser, UpdateUser

routes = CommandRoutes(USERS, "/users")


@routes.post("/users", status_code=HTTPStatus.CREATED)
def create_user(command: Json[CreateUser], key: IdempotencyKey = None) -> Response[Versioned]:
    """Create a user. Its id follows from the idempotency key where there is one, so that a repeat finds it."""
    return routes.create(command, key)


@routes.patch("/users/<id_>")
def update_user(
    id_: Id, command: Json[UpdateUser], key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response[Versioned]:
    """Change a user; nothing to change is no event."""
    return routes.change(id_, command, key, if_match)


@routes.delete("/users/<id_>", status_code=HTTPStatus.NO_CONTENT)
def delete_user(id_: Id, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response[None]:
    """Delete a user; again is no error and no event."""
    return routes.end(id_, DeleteUser(), key, if_match)
