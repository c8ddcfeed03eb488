"""HTTP commands: what they answer, what they append, and what a repeat or a condition makes of them."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.users.rules import USERS, UserUpdated
from eventfold import Commit, Head
from eventfold.dynamodb import DynamoDBEventStore
from tests.conftest import CLAIMS_TABLE, EVENTS_TABLE
from tests.template.declared import properties

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.functions.application import Application

JWT = {"jwt": {"claims": {"sub": "ada"}, "scopes": None}}


def test_post_creates_a_user_and_says_where_it_is(app: Application) -> None:
    answer = app.request("POST", "/users", {"name": "Ada", "email": "ada@example.com"})
    id_ = answer.body["id"]
    assert (answer.status, answer.body["version"]) == (201, 1)
    assert answer.headers["Location"] == f"/users/{id_}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Content-Type"] == "application/json"
    (commit,) = app.commits(id_)
    assert commit.events == ({"type": "UserCreated", "v": 2, "data": {"name": "Ada", "email": "ada@example.com"}},)


def test_two_posts_without_a_key_are_two_users(app: Application) -> None:
    assert app.create("Ada") != app.create("Ada")


def test_patch_appends_what_changed(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    answer = app.request("PATCH", f"/users/{id_}", {"name": "Grace", "email": "ada@example.com"})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (200, {"id": id_, "version": 2}, '"2"')
    assert app.commits(id_)[-1].events[0]["data"] == {"name": "Grace", "email": None}


def test_patch_removes_an_email_that_is_null_and_leaves_one_that_is_absent(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    versions = [
        app.request("PATCH", f"/users/{id_}", body).body["version"]
        for body in ({"name": "Grace"}, {"email": None}, {"email": None}, {"email": "g@example.com"})
    ]
    assert versions == [2, 3, 3, 4]
    app.project()
    assert app.request("GET", f"/users/{id_}").body["email"] == "g@example.com"
    app.request("PATCH", f"/users/{id_}", {"name": "Ada", "email": None})
    app.project()
    user = app.request("GET", f"/users/{id_}").body
    assert (user["name"], user["email"], user["version"]) == ("Ada", None, 6)
    trail = app.request("GET", f"/users/{id_}/events").body["events"]
    assert [(one["type"], one["data"]) for one in trail[-2:]] == [
        ("UserUpdated", {"name": "Ada"}),
        ("UserEmailRemoved", {}),
    ]
    assert trail[-1]["commit_id"] == trail[-2]["commit_id"] != trail[-3]["commit_id"]


def test_a_null_and_an_absent_field_are_two_requests_under_one_key(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    headers = {"Idempotency-Key": "k"}
    for body, status in (
        ({"name": "B", "email": None}, 200),
        ({"name": "B"}, 422),
        ({"email": None, "name": "B"}, 200),
    ):
        assert app.request("PATCH", f"/users/{id_}", body, headers=headers).status == status
    assert len(app.commits(id_)) == 2


def test_a_name_can_not_be_removed(app: Application) -> None:
    answer = app.request("PATCH", f"/users/{app.create('Ada')}", {"name": None})
    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (422, ["body.name"])
    assert len(app.commits()) == 1


@pytest.mark.parametrize("body", [{"name": "Ada"}, {}, {"email": None}])
def test_a_patch_that_changes_nothing_answers_the_same_version_and_appends_nothing(
    app: Application, body: dict[str, str | None]
) -> None:
    id_ = app.create("Ada")
    answer = app.request("PATCH", f"/users/{id_}", body)
    assert (answer.status, answer.body["version"], answer.headers["ETag"]) == (200, 1, '"1"')
    assert len(app.commits(id_)) == 1


def test_deleting_twice_answers_204_twice_and_is_one_event(app: Application) -> None:
    id_ = app.create()
    for _ in range(2):
        answer = app.request("DELETE", f"/users/{id_}")
        assert (answer.status, answer.body) == (204, None)
    assert [commit.events[0]["type"] for commit in app.commits(id_)] == ["UserCreated", "UserDeleted"]


def test_a_commit_remembers_the_correlation_id_of_its_request(app: Application) -> None:
    answer = app.request("POST", "/users", {"name": "Ada"}, headers={"X-Correlation-Id": "from-the-caller"})
    assert answer.headers["X-Correlation-Id"] == "from-the-caller"
    assert app.commits()[0].meta == {"correlation_id": "from-the-caller"}


@pytest.mark.parametrize(
    "sent", [None, "", "a b", "x" * 129, "a\nb", "\ud800", "ä", "ada@example.com", '{"name":"Ada"}']
)
def test_without_a_proper_correlation_id_the_request_id_is_taken(app: Application, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Correlation-Id": sent}
    answer = app.request("POST", "/users", {"name": "Ada"}, headers=headers)
    assert answer.headers["X-Correlation-Id"] == "request-1"
    assert app.commits()[0].meta["correlation_id"] == "request-1"


# --- Idempotency-Key --------------------------------------------------------------------------------------


def test_a_repeated_post_answers_as_the_first_did(app: Application) -> None:
    first, again = (app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": "k1"}) for _ in "12")
    assert (first.status, first.body, first.headers["Location"]) == (201, again.body, again.headers["Location"])
    assert again.status == 201
    assert len(app.commits()) == 1


def test_a_repeated_post_answers_version_1_after_later_changes_and_even_after_the_deletion(app: Application) -> None:
    first = app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": "k1"})
    app.rename(first.body["id"], "Grace")
    app.request("DELETE", f"/users/{first.body['id']}")
    again = app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": "k1"})
    assert (again.status, again.body) == (201, first.body)


def test_a_key_with_another_body_is_refused(app: Application) -> None:
    app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": "k1"})
    answer = app.request("POST", "/users", {"name": "Bob"}, headers={"Idempotency-Key": "k1"})
    assert answer.status == 422
    assert "Idempotency-Key" in answer.body["detail"]
    assert len(app.commits()) == 1


@pytest.mark.parametrize("other", [None, {"jwt": {"claims": {"sub": "bob"}}}, {"iam": {"userArn": "arn:ada"}}])
def test_the_same_key_of_another_caller_is_another_user(app: Application, other: dict[str, dict[str, str]]) -> None:
    mine = app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": "k1"}, authorizer=JWT)
    theirs = app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": "k1"}, authorizer=other)
    assert theirs.status == 201
    assert theirs.body["id"] != mine.body["id"]


def test_a_repeated_patch_appends_nothing_and_answers_its_own_version(app: Application) -> None:
    id_ = app.create("Ada")
    first = app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers={"Idempotency-Key": "k"})
    app.rename(id_, "C")
    again = app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers={"Idempotency-Key": "k"})
    assert (again.status, again.body) == (200, first.body)
    assert len(app.commits(id_)) == 3


def test_a_repeat_is_recognised_behind_a_snapshot(app: Application) -> None:
    id_ = app.create("Ada")
    first = app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers={"Idempotency-Key": "k"})
    app.rename(id_, "C", "D", "E", "F")
    app.snapshot()
    again = app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers={"Idempotency-Key": "k"})
    assert (again.status, again.body) == (200, first.body)


def test_a_repeated_delete_with_a_key_answers_204(app: Application) -> None:
    id_ = app.create()
    answers = [app.request("DELETE", f"/users/{id_}", headers={"Idempotency-Key": "k"}) for _ in "12"]
    assert [answer.status for answer in answers] == [204, 204]
    assert len(app.commits(id_)) == 2


def test_a_repeat_is_answered_although_its_condition_no_longer_holds(app: Application) -> None:
    id_ = app.create()
    headers = {"Idempotency-Key": "k", "If-Match": '"1"'}
    answers = [app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers=headers) for _ in "12"]
    assert [(answer.status, answer.body["version"]) for answer in answers] == [(200, 2), (200, 2)]


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "ä", "a\nb", "\0", "\ud800"])
def test_a_malformed_key_is_refused(app: Application, key: str) -> None:
    answer = app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": key})
    assert answer.status == 400
    assert answer.body["errors"][0]["field"] == "header.idempotency-key"
    assert app.commits() == []


def test_keys_that_differ_behind_a_comma_are_two_keys(app: Application) -> None:
    ids = {
        app.request("POST", "/users", {"name": "Ada"}, headers={"Idempotency-Key": key}).body["id"]
        for key in ("a,b", "a,c")
    }
    assert len(ids) == 2


# --- If-Match ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", ['"1"', "*", ' "1" '])
def test_a_condition_that_holds_lets_the_command_through(app: Application, etag: str) -> None:
    id_ = app.create()
    assert app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers={"If-Match": etag}).status == 200


# A weak ETag equals nothing, since If-Match compares strongly: RFC 9110, 13.1.1.
@pytest.mark.parametrize("etag", ['"0"', '"2"', '"999999999999999999"', 'W/"1"', ' W/"1" ', 'W/"x"', 'W/""'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_condition_that_does_not_hold_is_412(app: Application, method: str, etag: str) -> None:
    id_ = app.create()
    body = {"name": "B"} if method == "PATCH" else None
    assert app.request(method, f"/users/{id_}", body, headers={"If-Match": etag}).status == 412
    assert len(app.commits(id_)) == 1


@pytest.mark.parametrize(
    "etag",
    [
        "",
        "1",
        "W/1",
        'w/"1"',
        'W/"1',
        'W/"1", W/"2"',
        '"1", W/"1"',
        '"1", "2"',
        '"2", "1"',
        '*, "1"',
        '"-1"',
        '"01"',
        '"' + "9" * 30 + '"',
        '"\u0661"',
        '"',
    ],
)
def test_a_malformed_condition_is_400(app: Application, etag: str) -> None:
    id_ = app.create()
    answer = app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers={"If-Match": etag})
    assert answer.status == 400
    assert "If-Match" in answer.body["detail"]
    assert len(app.commits(id_)) == 1


# --- Races and figures ------------------------------------------------------------------------------------


class Contended(DynamoDBEventStore):
    """Somebody else writes before each of the next `rivals` appends."""

    rivals = 0

    def append(self, commit: Commit, *, after: Head | None) -> None:
        self._let_a_rival_write(commit)
        super().append(commit, after=after)

    def append_together(self, commits: Sequence[Commit], **more: Any) -> None:
        self._let_a_rival_write(commits[0])
        super().append_together(commits, **more)

    def _let_a_rival_write(self, commit: Commit) -> None:
        if self.rivals:
            self.rivals -= 1
            rival = USERS.codec.encode(UserUpdated(name=f"Rival {self.rivals}"))
            written = replace(commit, events=(rival,), id=f"rival-{self.rivals}", digest="")
            super().append(written, after=Head(commit.stream, commit.version - 1))


@pytest.fixture
def contended(app: Application, monkeypatch: pytest.MonkeyPatch) -> Contended:
    store = Contended(app.client, EVENTS_TABLE, CLAIMS_TABLE)
    monkeypatch.setattr(main.application, "event_store", store)
    return store


def test_a_lost_race_is_decided_again_and_counted(app: Application, contended: Contended) -> None:
    id_ = app.create()
    contended.rivals = 2
    assert app.request("PATCH", f"/users/{id_}", {"email": "a@b"}).body["version"] == 4
    assert app.metric("Conflicts") == [2]
    assert [line["events"] for line in app.lines("command handled")] == [1, 1]


def test_a_race_lost_at_every_attempt_is_409_and_counted(app: Application, contended: Contended) -> None:
    id_ = app.create()
    contended.rivals = 8
    answer = app.request("PATCH", f"/users/{id_}", {"email": "a@b"})
    assert answer.status == 409
    assert app.metric("Conflicts") == [8]
    assert [line["events"] for line in app.lines("command handled")] == [1]
    assert len(app.commits(id_)) == 9


def test_a_condition_is_checked_again_after_a_lost_race(app: Application, contended: Contended) -> None:
    id_ = app.create()
    contended.rivals = 1
    answer = app.request("PATCH", f"/users/{id_}", {"email": "a@b"}, headers={"If-Match": '"1"'})
    assert answer.status == 412
    assert len(app.commits(id_)) == 2


def test_a_commit_counts_once_and_a_repeat_or_a_change_of_nothing_not_at_all(app: Application) -> None:
    id_ = app.create()
    app.rename(id_, "B", "B")
    assert properties("CommitsAppended")["FilterPattern"] == '{ $.message = "command handled" && $.events > 0 }'
    assert [(line["command"], line["version"], line["events"]) for line in app.lines("command handled")] == [
        ("CreateUser", 1, 1),
        ("UpdateUser", 2, 1),
        ("UpdateUser", 2, 0),
    ]


def test_every_fifth_event_makes_its_commit_due_for_a_snapshot(app: Application) -> None:
    id_ = app.create()
    app.rename(id_, *"BCDEFGHIJ")
    assert [commit.version for commit in app.commits(id_) if commit.snapshot_due] == [5, 10]
