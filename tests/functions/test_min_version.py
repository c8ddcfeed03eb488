"""GET /users/{id}?min_version=N: never older than N, whatever the projections have seen, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app import main
from app.users.rules import UserCreated, UserDeleted, UserUpdated
from eventfold.testing import Meter

if TYPE_CHECKING:
    from tests.functions.application import Application
    from tests.support import Answer


def get(app: Application, id_: str, min_version: int | str) -> Answer:
    """Ask for a user at a version at least."""
    return app.request("GET", f"/users/{id_}", query={"min_version": str(min_version)})


def user_of_5(app: Application, projected: int) -> None:
    """Append a user named by its version, 1 to 5; the directory has seen so many of them."""
    commits = app.append("1", UserCreated(name="1"), *(UserUpdated(name=str(version)) for version in range(2, 6)))
    app.project(commits[:projected])


@pytest.mark.parametrize("projected", range(6))
@pytest.mark.parametrize("min_version", range(1, 6))
def test_the_answer_is_never_older_than_asked_for(app: Application, projected: int, min_version: int) -> None:
    user_of_5(app, projected)
    answer = get(app, "1", min_version)
    shown = projected if projected >= min_version else 5
    assert (answer.status, answer.headers["ETag"]) == (200, f'"{shown}"')
    assert answer.body == {"id": "1", "name": str(shown), "email": None, "version": shown}


def test_a_writer_reads_each_of_its_own_writes_without_waiting(app: Application) -> None:
    answer = app.request("POST", "/users", {"name": "A", "email": "a@b"})
    id_ = answer.body["id"]
    for name in "BCDEFGH":
        assert get(app, id_, answer.body["version"]).status == 200
        answer = app.request("PATCH", f"/users/{id_}", {"name": name})
        assert get(app, id_, answer.body["version"]).body == {
            "id": id_,
            "name": name,
            "email": "a@b",
            "version": answer.body["version"],
        }
        if answer.body["version"] == 5:
            app.snapshot()  # Lies between the commits, and is none.
    assert app.request("GET", f"/users/{id_}").status == 404  # The directory has not seen any of it.


def test_the_answer_is_for_the_caller_alone_and_the_read_model_stays_as_it_is(app: Application) -> None:
    user_of_5(app, 2)
    get(app, "1", 5)
    assert app.request("GET", "/users/1").body["version"] == 2


@pytest.mark.parametrize("projected", [0, 1, 2])
def test_a_user_just_deleted_is_410_at_once(app: Application, projected: int) -> None:
    commits = app.append("1", UserCreated(name="A"), UserDeleted())
    app.project(commits[:projected])
    assert get(app, "1", 2).status == 410
    if projected == 1:
        assert get(app, "1", 1).status == 200  # Not older than asked for.


@pytest.mark.parametrize("projected", [0, 1, 2])
def test_a_deleted_user_is_410_at_any_later_version_since_it_comes_to_none(app: Application, projected: int) -> None:
    commits = app.append("1", UserCreated(name="A"), UserDeleted())
    app.project(commits[:projected])
    assert get(app, "1", 3).status == 410


@pytest.mark.parametrize("projected", [0, 3, 5])
@pytest.mark.parametrize("min_version", [6, 10**15])
def test_a_version_yet_to_come_is_409_and_200_once_it_is_there(
    app: Application, projected: int, min_version: int
) -> None:
    user_of_5(app, projected)
    answer = get(app, "1", min_version)
    assert (answer.status, answer.body["detail"]) == (409, "It has not come to this version yet.")
    if min_version == 6:
        app.rename("1", "6")
        assert get(app, "1", 6).body["name"] == "6"


@pytest.mark.parametrize("min_version", [0, 1, 7])
def test_nobody_is_404_at_any_version(app: Application, min_version: int) -> None:
    assert get(app, "nobody", min_version).status == 404


@pytest.mark.parametrize("min_version", ["-1", "x", "", "1.5", "NaN", "9" * 30, "9" * 5000, "\0", "\ud800"], ids=ascii)
def test_a_version_that_makes_no_sense_is_400(app: Application, min_version: str) -> None:
    answer = get(app, "1", min_version[:5000])
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, "query.min_version")


def test_an_etag_read_past_the_directory_is_the_one_that_a_command_takes(app: Application) -> None:
    user_of_5(app, 0)
    etag = get(app, "1", 5).headers["ETag"]
    assert app.request("DELETE", "/users/1", headers={"If-Match": etag}).status == 204


@pytest.mark.parametrize(
    ("projected", "min_version", "requests"),
    [
        (5, 5, ["BatchGetItem"]),
        (3, 2, ["BatchGetItem"]),
        (0, 0, ["BatchGetItem"]),
        (3, 4, ["BatchGetItem", "Query"]),
        (0, 1, ["BatchGetItem", "Query"]),
        (5, 6, ["BatchGetItem", "Query"]),
    ],
)
def test_it_costs_one_request_where_the_row_is_new_enough_and_two_where_it_is_behind(
    app: Application, projected: int, min_version: int, requests: list[str]
) -> None:
    user_of_5(app, projected)
    get(app, "1", 0)
    with Meter.on(main.application.dynamodb) as meter:
        get(app, "1", min_version)
    assert meter.requests == requests
