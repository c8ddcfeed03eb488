"""HTTP queries: the directory, the audit trail, and the state at a version or time."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from app.users.rules import UserCreated, UserUpdated

if TYPE_CHECKING:
    from tests.functions.application import Application
    from tests.support import Answer


def names(answer: Answer) -> list[str]:
    """Return the names in a page of the directory."""
    assert answer.status == 200, answer
    return [user["name"] for user in answer.body["users"]]


def encoded(place: str) -> str:
    """Return a cursor as the directory makes it."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


# --- One user ---------------------------------------------------------------------------------------------


def test_a_user_is_found_once_projected(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    assert app.request("GET", f"/users/{id_}").status == 404
    app.project()
    answer = app.request("GET", f"/users/{id_}")
    assert (answer.status, answer.headers["ETag"]) == (200, '"1"')
    assert answer.body == {"id": id_, "name": "Ada", "email": "ada@example.com", "version": 1}


def test_a_user_shows_its_last_change_and_the_etag_that_a_command_takes(app: Application) -> None:
    id_ = app.create("Ada")
    app.rename(id_, "Grace")
    app.project()
    answer = app.request("GET", f"/users/{id_}")
    assert (answer.body["name"], answer.body["email"], answer.body["version"]) == ("Grace", None, 2)
    matched = app.request("DELETE", f"/users/{id_}", headers={"If-Match": answer.headers["ETag"]})
    assert matched.status == 204


def test_a_deleted_user_is_410_and_not_listed(app: Application) -> None:
    id_ = app.create("Ada")
    app.request("DELETE", f"/users/{id_}")
    app.project()
    assert app.request("GET", f"/users/{id_}").status == 410
    assert names(app.request("GET", "/users")) == []


# --- The list ---------------------------------------------------------------------------------------------


def test_users_are_listed_by_name_whatever_the_case(app: Application) -> None:
    for name in ("bob", "Zoë", "ADA", "adam", "Ångström", "李雷", "\U0001f600", "Straße"):
        app.create(name)
    app.project()
    listed = names(app.request("GET", "/users"))
    assert listed == ["ADA", "adam", "bob", "Straße", "Zoë", "Ångström", "李雷", "\U0001f600"]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("ad", ["ADA", "adam"]),
        ("AD", ["ADA", "adam"]),
        ("ada", ["ADA", "adam"]),
        ("adam", ["adam"]),
        ("STRASS", ["Straße"]),
        ("straß", ["Straße"]),
        ("å", ["Ångström"]),
        ("李", ["李雷"]),
        ("a,b", ["A,B"]),
        ("\U0010ffff", ["\U0010ffff\U0010ffff"]),
        ("x", []),
        ("\0", []),
    ],
)
def test_a_prefix_finds_names_whatever_the_case_and_script(app: Application, prefix: str, expected: list[str]) -> None:
    for name in ("ADA", "adam", "Straße", "Ångström", "李雷", "A,B", "\U0010ffff\U0010ffff"):
        app.create(name)
    app.project()
    assert names(app.request("GET", "/users", query={"prefix": prefix})) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_give_every_user_once_and_in_order(app: Application, limit: int) -> None:
    expected = sorted(f"{letter}{number}" for letter in "äab" for number in range(3))
    for name in expected:
        app.create(name)
    app.create(expected[0])  # Two of one name.
    app.project()
    query = {"limit": str(limit)}
    seen: list[str] = []
    while True:
        page = app.request("GET", "/users", query=query)
        assert len(page.body["users"]) <= limit
        seen += names(page)
        if page.body["cursor"] is None:
            break
        query["cursor"] = page.body["cursor"]
    assert seen == sorted([*expected, expected[0]])


def test_a_list_that_just_fills_a_page_has_no_cursor(app: Application) -> None:
    for name in ("a", "b"):
        app.create(name)
    app.project()
    assert app.request("GET", "/users", query={"limit": "2"}).body["cursor"] is None


def test_paging_goes_on_while_users_change(app: Application) -> None:
    ids = {name: app.create(name) for name in ("a", "b", "c")}
    app.project()
    page = app.request("GET", "/users", query={"limit": "2"})
    app.request("DELETE", f"/users/{ids['b']}")
    app.rename(ids["a"], "d")
    app.project()
    assert names(app.request("GET", "/users", query={"cursor": page.body["cursor"]})) == ["c", "d"]


def test_the_longest_names_are_listed_and_paged(app: Application) -> None:
    longest = ["\U0001f600" * 200, "ΐ" * 200]  # 800 bytes; three times as long once its case is folded.
    for name in longest:
        app.create(name)
    app.project()
    first = app.request("GET", "/users", query={"limit": "1"})
    second = app.request("GET", "/users", query={"limit": "1", "cursor": first.body["cursor"]})
    assert sorted(names(first) + names(second)) == sorted(longest)
    assert names(app.request("GET", "/users", query={"prefix": longest[0]})) == [longest[0]]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "!",
        "AAAA=A",
        encoded("user-1"),
        encoded("bob\0user-1"),
        encoded("ad\0thing-1"),
        base64.urlsafe_b64encode(b"ad\xff\0user-1").decode().rstrip("="),
        encoded("ad" + "x" * 1000 + "\0user-1"),
    ],
)
def test_a_cursor_that_no_page_with_this_prefix_gave_is_refused(app: Application, cursor: str) -> None:
    answer = app.request("GET", "/users", query={"prefix": "ad", "cursor": cursor})
    assert (answer.status, answer.body["detail"]) == (400, "The cursor does not belong to this query.")


def test_a_cursor_behind_the_last_possible_name_finds_nobody(app: Application) -> None:
    app.create("Ada")
    app.project()
    cursor = encoded("\U0010ffff" * 201 + "\0user-1")
    assert names(app.request("GET", "/users", query={"cursor": cursor})) == []


# --- The audit trail --------------------------------------------------------------------------------------


def test_the_audit_trail_says_what_happened_when_and_by_which_commit(app: Application) -> None:
    id_ = app.create("Ada", email="ada@example.com")
    app.request("PATCH", f"/users/{id_}", {"name": "Grace"}, headers={"Idempotency-Key": "key-1"})
    app.request("DELETE", f"/users/{id_}")
    answer = app.request("GET", f"/users/{id_}/events")
    entries = answer.body["events"]
    assert answer.body["after"] is None
    assert [(entry["version"], entry["type"], entry["data"]) for entry in entries] == [
        (1, "UserCreated", {"name": "Ada", "email": "ada@example.com"}),
        (2, "UserUpdated", {"name": "Grace"}),
        (3, "UserDeleted", {}),
    ]
    commits = app.commits(id_)
    assert [entry["commit_id"] for entry in entries] == [commit.public_id for commit in commits]
    assert commits[1].id == "key-1"
    assert "key-1" not in str(answer)  # It is its caller's, and others read this.
    assert [entry["at"] for entry in entries] == [f"{commit.at:%Y-%m-%dT%H:%M:%S.%f}Z" for commit in commits]
    assert [entry["actor"] for entry in entries] == [None, None, None]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_audit_trail_pages_by_after_and_limit(app: Application, limit: int) -> None:
    id_ = app.create()
    app.rename(id_, *"BCDEFG")
    app.snapshot()
    versions: list[int] = []
    query = {"limit": str(limit)}
    while True:
        page = app.request("GET", f"/users/{id_}/events", query=query).body
        assert len(page["events"]) <= limit
        versions += [entry["version"] for entry in page["events"]]
        if page["after"] is None:
            break
        query["after"] = str(page["after"])
    assert versions == [1, 2, 3, 4, 5, 6, 7]


def test_the_audit_trail_behind_its_end_is_empty(app: Application) -> None:
    id_ = app.create()
    for after in ("1", "1000000000000000"):
        answer = app.request("GET", f"/users/{id_}/events", query={"after": after})
        assert (answer.status, answer.body) == (200, {"events": [], "after": None})


@pytest.mark.parametrize("query", [{}, {"after": "5"}])
@pytest.mark.parametrize("path", ["/users/nobody/events", "/users/nobody/state"])
def test_nobody_has_neither_history_nor_state(app: Application, path: str, query: dict[str, str]) -> None:
    assert app.request("GET", path, query=query).status == 404


# --- The state then ---------------------------------------------------------------------------------------


def test_the_state_at_each_version_is_replayed(app: Application) -> None:
    id_ = app.create("A", email="a@b")
    app.rename(id_, *"BCDEFG")
    app.snapshot()
    app.request("DELETE", f"/users/{id_}")
    for version, name in enumerate("ABCDEFG", start=1):
        state = app.request("GET", f"/users/{id_}/state", query={"version": str(version)}).body
        assert (state["version"], state["name"], state["email"], state["status"]) == (version, name, "a@b", "active")
    now = app.request("GET", f"/users/{id_}/state")
    assert (now.status, now.body["version"], now.body["status"]) == (200, 8, "deleted")
    assert app.request("GET", f"/users/{id_}/state", query={"version": "9"}).status == 404


@pytest.mark.parametrize(
    ("at", "name", "version"),
    [
        ("2026-01-01T00:00:01Z", "A", 1),
        ("2026-01-01T00:00:01.999Z", "A", 1),
        ("2026-01-01T02:00:02+02:00", "B", 2),
        ("2026-01-01T00:00:03Z", "C", 3),
    ],
)
def test_the_state_at_a_moment_is_replayed(app: Application, at: str, name: str, version: int) -> None:
    app.append("1", UserCreated(name="A"), UserUpdated(name="B"), UserUpdated(name="C"))
    state = app.request("GET", "/users/1/state", query={"at": at})
    assert (state.status, state.body["name"], state.body["version"]) == (200, name, version)
    assert state.body["at"] == f"2026-01-01T00:00:0{version}Z"


def test_a_moment_before_the_user_was_created_is_404(app: Application) -> None:
    app.append("1", UserCreated(name="A"))
    assert app.request("GET", "/users/1/state", query={"at": "2026-01-01T00:00:00.999Z"}).status == 404


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-14:00", "9999999999"])
def test_a_moment_yet_to_come_shows_the_state_now(app: Application, at: str) -> None:
    id_ = app.create("A")
    assert app.request("GET", f"/users/{id_}/state", query={"at": at}).body["version"] == 1


def test_a_moment_before_all_time_zones_is_404(app: Application) -> None:
    id_ = app.create("A")
    assert app.request("GET", f"/users/{id_}/state", query={"at": "0001-01-01T00:00:00+14:00"}).status == 404


def test_a_state_is_asked_for_by_version_or_by_time(app: Application) -> None:
    id_ = app.create("A")
    query = {"version": "1", "at": "2026-01-01T00:00:00Z"}
    assert app.request("GET", f"/users/{id_}/state", query=query).status == 400
