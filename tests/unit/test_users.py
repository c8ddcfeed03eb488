"""The user aggregate's rules, as given/when/then."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import ValidationError

from app.users.rules import (
    USERS,
    CreateUser,
    DeleteUser,
    UpdateUser,
    User,
    UserCommand,
    UserCreated,
    UserDeleted,
    UserDeletedError,
    UserEmailRemoved,
    UserError,
    UserExistsError,
    UserNotFoundError,
    UserUpdated,
)
from eventfold.testing import given

if TYPE_CHECKING:
    from app.users.rules import UserEvent

ADA = UserCreated(name="Ada", email="ada@example.com")


def test_a_user_is_created() -> None:
    given(USERS).when(CreateUser(name="Ada", email="ada@example.com")).then(ADA)


def test_creating_the_same_user_again_is_no_event() -> None:
    given(USERS, ADA).when(CreateUser(name="Ada", email="ada@example.com")).then()


def test_creating_another_user_in_its_place_is_refused() -> None:
    given(USERS, ADA).when(CreateUser(name="Bob")).then_refused(UserExistsError)


def test_an_update_records_only_what_changed() -> None:
    given(USERS, ADA).when(UpdateUser(name="Ada L.", email="ada@example.com")).then(UserUpdated(name="Ada L."))
    given(USERS, ADA).when(UpdateUser(email="new@example.com")).then(UserUpdated(email="new@example.com"))


def test_a_null_email_removes_it_once_and_an_absent_one_leaves_it() -> None:
    removed = given(USERS, ADA).when(UpdateUser(email=None)).then(UserEmailRemoved())
    assert removed.state == User(status="active", name="Ada")
    removed.when(UpdateUser(email=None)).then()
    removed.when(UpdateUser(email="new@example.com")).then(UserUpdated(email="new@example.com"))
    given(USERS, ADA).when(UpdateUser(name="Grace")).then(UserUpdated(name="Grace"))
    given(USERS, UserCreated(name="Ada")).when(UpdateUser(email=None)).then()


def test_a_name_changes_and_an_email_goes_in_one_commit() -> None:
    both = UpdateUser(name="Grace", email=None)
    given(USERS, ADA).when(both).then(UserUpdated(name="Grace"), UserEmailRemoved()).when(both).then()


def test_a_name_can_not_be_removed() -> None:
    with pytest.raises(ValidationError, match="A user has a name"):
        UpdateUser(name=None)


def test_an_update_that_changes_nothing_is_no_event() -> None:
    given(USERS, ADA).when(UpdateUser(name="Ada")).then()
    given(USERS, ADA).when(UpdateUser()).then()


def test_asking_twice_for_the_same_change_is_one_event() -> None:
    changed = given(USERS, ADA).when(UpdateUser(name="Grace")).then(UserUpdated(name="Grace"))
    changed.when(UpdateUser(name="Grace")).then()


def test_a_user_is_deleted_once() -> None:
    given(USERS, ADA).when(DeleteUser()).then(UserDeleted()).when(DeleteUser()).then()


@pytest.mark.parametrize("command", [UpdateUser(name="x"), DeleteUser()])
def test_nothing_happens_to_a_user_that_never_was(command: UserCommand) -> None:
    given(USERS).when(command).then_refused(UserNotFoundError)


@pytest.mark.parametrize("command", [UpdateUser(name="x"), CreateUser(name="Ada", email="ada@example.com")])
def test_nothing_happens_to_a_deleted_user(command: UserCommand) -> None:
    given(USERS, ADA, UserDeleted()).when(command).then_refused(UserDeletedError)


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\0b", "a\nb", "\ud800"])
def test_a_name_has_1_to_200_printable_characters(name: str) -> None:
    with pytest.raises(ValidationError):
        CreateUser(name=name)
    with pytest.raises(ValidationError):
        UpdateUser(name=name)


def test_a_name_of_1_or_200_characters_is_accepted() -> None:
    assert CreateUser(name="x").name == "x"
    assert len(CreateUser(name="\U0001f600" * 200).name) == 200


@pytest.mark.parametrize("email", ["", "ada", "@", "a@", "@b", "a b@c", "a@b@c", "x" * 320 + "@b"])
def test_an_email_has_one_at_sign_between_two_parts(email: str) -> None:
    with pytest.raises(ValidationError):
        CreateUser(name="Ada", email=email)


commands = st.one_of(
    st.builds(CreateUser, name=st.sampled_from(["Ada", "Bob"]), email=st.none()),
    st.fixed_dictionaries(
        {}, optional={"name": st.sampled_from(["Ada", "Bob"]), "email": st.sampled_from(["a@b", None])}
    ).map(UpdateUser.model_validate),
    st.builds(DeleteUser),
)


@for_all(st.lists(commands, max_size=12))
def test_every_command_is_idempotent_after_any_history(history: list[UserCommand]) -> None:
    past: list[UserEvent] = []
    for command in history:
        state = USERS.fold(User(), past)
        try:
            past += USERS.decide(command, state)
        except UserError:
            continue
        if USERS.fold(User(), past).status == "deleted" and not isinstance(command, DeleteUser):
            pytest.fail("a command other than the deletion got a deleted user")
        given(USERS, *past).when(command).then()


def test_every_event_type_is_registered() -> None:
    from app.users.rules import UserEvent  # noqa: PLC0415 - a type alias, needed here alone

    assert set(get_args(UserEvent.__value__)) == set(USERS.events)
