"""No two users have one email; whose it is can be looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app import main
from app.users.rules import UserCreated
from tests.conftest import CLAIMS_TABLE

if TYPE_CHECKING:
    from tests.functions.application import Application


def found(app: Application, email: str) -> list[str]:
    answer = app.request("GET", "/users", query={"email": email})
    assert answer.status == 200, answer.body
    return [user["id"] for user in answer.body["users"]]


def test_an_email_that_another_user_has_is_409_in_whatever_case(app: Application) -> None:
    app.create("Ada", email="ada@example.com")
    grace = app.create("Grace", email="grace@example.com")
    for answer in (
        app.request("POST", "/users", {"name": "Somebody", "email": "ADA@example.com"}),
        app.request("PATCH", f"/users/{grace}", {"email": "Ada@Example.com"}),
    ):
        assert (answer.status, answer.body["detail"]) == (409, "Another user has this email.")
    assert len(app.commits(grace)) == 1
    assert "ada@" not in app.printed().lower()


def test_an_email_is_free_again_once_its_user_has_another_or_none_or_is_deleted(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    app.request("PATCH", f"/users/{id_}", {"email": "lovelace@example.com"})
    second = app.create("Second", email="ada@example.com")
    app.request("PATCH", f"/users/{second}", {"email": None})
    third = app.create("Third", email="ada@example.com")
    app.request("DELETE", f"/users/{third}")
    assert app.request("POST", "/users", {"name": "Fourth", "email": "ada@example.com"}).status == 201


def test_one_s_own_email_in_another_case_is_no_conflict(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    assert app.request("PATCH", f"/users/{id_}", {"email": "ADA@example.com"}).status == 200
    assert found(app, "ada@example.com") == [id_]


def test_a_repeated_post_finds_its_own(app: Application) -> None:
    answers = [
        app.request("POST", "/users", {"name": "Ada", "email": "a@b"}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [one.status for one in answers] == [201, 201]
    assert answers[0].body == answers[1].body


def test_whose_an_email_is_is_found_before_any_projection_has_seen_it(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    assert found(app, "ADA@EXAMPLE.COM") == [id_]
    assert found(app, "nobody@example.com") == []
    app.request("DELETE", f"/users/{id_}")
    assert found(app, "ada@example.com") == []
    assert app.request("GET", "/users", query={"email": "a@b", "prefix": "A"}).status == 400


def test_a_claim_gives_no_email_away(app: Application) -> None:
    app.create("Ada", email="ada@example.com")
    (item,) = app.client.scan(TableName=CLAIMS_TABLE)["Items"]
    assert set(item) == {"key", "stream"}
    assert item["key"]["S"].startswith("user.email#")
    assert "ada" not in item["key"]["S"].lower().removeprefix("user.email#")[:6]
    assert "example" not in str(item)


def test_an_email_of_before_it_was_a_key_is_left_to_who_has_claimed_it(app: Application) -> None:
    """Events of two users with one email are there; the second to change it has nothing to release."""
    app.append("1", UserCreated(name="Ada", email="ada@example.com"))
    app.append("2", UserCreated(name="Ada too", email="ada@example.com"))
    third = app.create("Third", email="ada@example.com")
    assert app.request("PATCH", "/users/2", {"email": "other@example.com"}).status == 200
    assert found(app, "ada@example.com") == [third]
    assert found(app, "other@example.com") == ["2"]


@pytest.mark.parametrize("body", [{"name": "Ada"}, {"name": "Ada", "email": None}])
def test_a_user_without_an_email_asks_for_no_key(
    app: Application, monkeypatch: pytest.MonkeyPatch, body: dict[str, str | None]
) -> None:
    monkeypatch.setattr(main.application, "_secret", lambda: pytest.fail("no key is hashed"))
    assert app.request("POST", "/users", body).status == 201
    assert app.client.scan(TableName=CLAIMS_TABLE)["Count"] == 0
