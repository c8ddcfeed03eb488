"""The user aggregate: commands, events, state, `decide`, `evolve`. Pure: no AWS, no HTTP, no clock."""

from __future__ import annotations

from typing import Annotated, Literal, assert_never

from pydantic import BaseModel, Field, field_validator
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic reads the annotation at run time
from pydantic_core import PydanticCustomError

from eventfold import Command, Data, Decider, Event, RefusedError, Unique, caseless, upcaster

# No control characters: they have no place in a name, and some stores and terminals choke on them.
Name = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$")
]
Email = Annotated[str, Field(max_length=320, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")]

# --- Commands ---------------------------------------------------------------------------------------------


class CreateUser(Command):
    """Create a user."""

    name: Name
    email: Email | None = None


class UpdateUser(Command):
    """Change what is given; what is absent stays as it is. A null email removes it."""

    name: Name | SkipJsonSchema[None] = None
    email: Email | None = None

    @field_validator("name")
    @classmethod
    def _is_given(cls, name: str | None) -> str:
        if name is None:
            raise PydanticCustomError("name_removed", "A user has a name: it can be changed, and not removed")
        return name


class DeleteUser(Command):
    """Delete a user, for ever."""


type UserCommand = CreateUser | UpdateUser | DeleteUser

# --- Events -----------------------------------------------------------------------------------------------
# WARNING: names, versions and fields are the stored format. A new shape is a new version, never an edit.


class UserCreated(Event, name="UserCreated", version=2):
    """A user came to be."""

    name: str
    email: str | None = None


class UserUpdated(Event, name="UserUpdated", version=1):
    """What changed; None where nothing did."""

    name: str | None = None
    email: str | None = None


class UserEmailRemoved(Event, name="UserEmailRemoved", version=1):
    """The user has no email any more."""


class UserDeleted(Event, name="UserDeleted", version=1):
    """The user is gone. The events stay."""


@upcaster("UserCreated", 1)
def without_id(data: Data) -> Data:
    """Read a user of the first days, who had an id and a name: the id is in the stream's name."""
    return {"name": data["name"], "email": None}


type UserEvent = UserCreated | UserUpdated | UserEmailRemoved | UserDeleted

# --- State ------------------------------------------------------------------------------------------------


class User(BaseModel, frozen=True):
    """What the rules need to know."""

    status: Literal["unknown", "active", "deleted"] = "unknown"
    name: str = ""
    email: str | None = None


# --- Rules ------------------------------------------------------------------------------------------------


class UserError(RefusedError):
    """A rule refused the command."""


class UserNotFoundError(UserError, kind="missing", detail="There is no such user."):
    """There is no such user."""


class UserDeletedError(UserError, kind="gone", detail="The user was deleted."):
    """The user was deleted: nothing happens to it any more."""


class UserExistsError(UserError, kind="conflict", detail="There is such a user already, with another name or email."):
    """There is such a user already, and it is not the one asked for."""


def decide(command: UserCommand, user: User) -> list[UserEvent]:
    """Return what happens. Asking twice for the same thing is no event.

    Raises:
        UserError: a rule refuses the command; its subclasses say which.
    """
    match command:
        case CreateUser():
            return _create(command, user)
        case UpdateUser():
            return _update(command, user)
        case DeleteUser():
            return _delete(user)
        case _:
            assert_never(command)


def _create(command: CreateUser, user: User) -> list[UserEvent]:
    if user.status == "deleted":
        raise UserDeletedError
    if user.status == "unknown":
        return [UserCreated(name=command.name, email=command.email)]
    if (user.name, user.email) != (command.name, command.email):
        raise UserExistsError
    return []


def _update(command: UpdateUser, user: User) -> list[UserEvent]:
    _must_be_active(user)
    name = command.name if command.name != user.name else None
    email = command.email if command.email != user.email else None
    events: list[UserEvent] = []
    if name is not None or email is not None:
        events.append(UserUpdated(name=name, email=email))
    if "email" in command.model_fields_set and command.email is None and user.email is not None:
        events.append(UserEmailRemoved())
    return events


def _delete(user: User) -> list[UserEvent]:
    if user.status == "deleted":
        return []
    _must_be_active(user)
    return [UserDeleted()]


def _must_be_active(user: User) -> None:
    if user.status == "unknown":
        raise UserNotFoundError
    if user.status == "deleted":
        raise UserDeletedError


def evolve(user: User, event: UserEvent) -> User:
    """Return the state after one event."""
    match event:
        case UserCreated():
            return User(status="active", name=event.name, email=event.email)
        case UserUpdated():
            return User(status=user.status, name=event.name or user.name, email=event.email or user.email)
        case UserEmailRemoved():
            return User(status=user.status, name=user.name)
        case UserDeleted():
            return User(status="deleted")
        case _:
            assert_never(event)


EMAIL = Unique[User]("email", of=lambda user: user.email, fold=caseless)
"""No two users have one email, in whatever case it is written. A user who is deleted has none."""

USERS: Decider[UserCommand, User, UserEvent] = Decider(
    category="user",
    initial=User(),
    decide=decide,
    evolve=evolve,
    events=(UserCreated, UserUpdated, UserEmailRemoved, UserDeleted),
    upcasters=(without_id,),
    unique=(EMAIL,),
)
