"""What can't be projected: parked with its reason, others flow on, and it goes on once the cause is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.users import read_models
from app.users.directory import DIRECTORY, DirectoryRow, project
from app.users.rules import UserCreated, UserDeleted, UserEvent, UserUpdated
from app.users.stats import STATS
from eventfold import Recorded
from eventfold.core.errors import StoreUnavailableError
from eventfold.read_models.projections import Row
from tests.conftest import EVENTS_TABLE
from tests.support import stream_event

if TYPE_CHECKING:
    from pydantic import JsonValue

    from eventfold.core.stored import StoredEvent
    from tests.functions.application import Application

NOTHING_FAILED: dict[str, list[dict[str, str]]] = {"batchItemFailures": []}
UNKNOWN: tuple[StoredEvent, ...] = ({"type": "UserRenamed", "v": 7, "data": {"name": "Ada"}},)
BOTH = ["directory", "stats"]


def versions(app: Application, *ids: str) -> list[int | None]:
    """Return the version at which the directory has each of these users."""
    return [app.request("GET", f"/users/{id_}").body.get("version") for id_ in ids]


def deploy_anew() -> None:
    main.application = main.application.on(main.application.settings)


@contextmanager
def broken_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Deploy a directory that can't digest Mallory; take it back at the end."""

    def digest(row: DirectoryRow | None, recorded: Recorded[UserEvent]) -> DirectoryRow | None:
        if isinstance(recorded.event, UserCreated | UserUpdated) and recorded.event.name == "Mallory":
            raise ValueError("can't digest Mallory <mallory@example.com>")
        return project(row, recorded)

    with monkeypatch.context() as patch:
        patch.setattr(read_models, "READ_MODELS", (replace(DIRECTORY, project=digest), STATS))
        deploy_anew()
        yield
    deploy_anew()


# --- A projection that raises -----------------------------------------------------------------------------


def test_a_stream_that_a_projection_can_not_digest_is_parked_and_everything_else_flows_on(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    with broken_directory(monkeypatch):
        app.project(app.append("1", UserCreated(name="A")))
        bad = app.append("1", UserUpdated(name="Mallory"), UserUpdated(name="C"))
        good = app.append("2", UserCreated(name="B"))
        assert app.project([*bad, *good]) == NOTHING_FAILED
        assert versions(app, "1", "2") == [1, 1]
        assert app.stats()["created"] == 2
        (parked,) = app.parked()
    assert (parked.projection, parked.stream, parked.version, parked.attempts) == ("directory", "user-1", 1, 1)
    assert re.fullmatch(r"ValueError at test_parked\.py:\d+", parked.reason)
    assert abs(datetime.now(UTC) - parked.since) < timedelta(minutes=1)
    assert app.metric("Parked") == [1]
    (line,) = app.lines("parked")
    assert (line["level"], line["projection"], line["stream"], line["error"]) == (
        "ERROR",
        "directory",
        "user-1",
        "ValueError",
    )
    assert not re.search("mallory", app.printed(), re.IGNORECASE)


def test_later_commits_of_a_parked_stream_wait_and_the_next_one_after_the_fix_releases_it(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    with broken_directory(monkeypatch):
        app.project(app.append("1", UserCreated(name="Mallory")))
        (before,) = app.parked()
        for name in ("B", "C"):
            assert app.project(app.append("1", UserUpdated(name=name))) == NOTHING_FAILED
        assert versions(app, "1") == [None]
        (after,) = app.parked()
        assert (after.since, after.attempts) == (before.since, 3)
    assert app.project(app.append("1", UserUpdated(email="d@example.com"))) == NOTHING_FAILED
    assert app.request("GET", "/users/1").body == {"id": "1", "name": "C", "email": "d@example.com", "version": 4}
    assert app.parked() == []
    assert [(line["projection"], line["stream"]) for line in app.lines("released")] == [("directory", "user-1")]


def test_a_parked_stream_can_be_deleted_meanwhile(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    with broken_directory(monkeypatch):
        app.project(app.append("1", UserCreated(name="Mallory")))
    app.project(app.append("1", UserDeleted()))
    assert app.request("GET", "/users/1").status == 410
    assert app.parked() == []
    assert app.stats()["active"] == 0


def test_a_reader_who_asks_for_a_version_sees_past_a_write_that_was_parked(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = app.append("1", UserCreated(name="A"))
    with monkeypatch.context() as patch:
        patch.setattr(main.application.row_store, "put", throttled_for("user-1"))
        app.project(commits)
    assert app.request("GET", "/users/1").status == 404
    assert app.request("GET", "/users/1", query={"min_version": "1"}).body["name"] == "A"


# --- A write that fails -----------------------------------------------------------------------------------


def throttled_for(stream: str) -> Any:
    """Return a `put` that is throttled for one stream."""
    put = main.application.row_store.put

    def throttled(projection: str, row: Row, *, replaces: int) -> None:
        if row.stream == stream:
            raise StoreUnavailableError("ThrottlingException")
        put(projection, row, replaces=replaces)

    return throttled


def test_a_write_that_is_throttled_parks_its_stream_alone_until_the_next_redrive(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = [*app.append("1", UserCreated(name="A")), *app.append("2", UserCreated(name="B"))]
    with monkeypatch.context() as patch:
        patch.setattr(main.application.row_store, "put", throttled_for("user-1"))
        assert app.project(commits) == NOTHING_FAILED
    assert versions(app, "1", "2") == [None, 1]
    (parked,) = app.parked()
    assert (parked.projection, parked.stream, parked.version) == ("directory", "user-1", 0)
    assert parked.reason.startswith("StoreUnavailableError: the store can't answer now: ThrottlingException at ")
    assert app.redrive() == {"redriven": 1, "parked": 0}
    assert versions(app, "1") == [1]
    assert app.stats()["created"] == 2


# --- Events that nobody knows -----------------------------------------------------------------------------


def test_an_unknown_event_parks_its_stream_and_says_where_it_is(app: Application) -> None:
    bad, *after = app.append("1", UserCreated(name="A"), UserUpdated(name="B"))
    app.overwrite(replace(bad, events=UNKNOWN))
    good = app.append("2", UserCreated(name="C"))
    assert app.project([replace(bad, events=UNKNOWN), *good, *after]) == NOTHING_FAILED
    assert versions(app, "1", "2") == [None, 1]
    assert [(one.projection, one.stream, one.version, one.attempts) for one in app.parked()] == [
        (projection, "user-1", 0, 1) for projection in BOTH
    ]
    says = "UnknownEventError: stream 'user-1', version 1: no event 'UserRenamed' version 7 is registered at "
    assert all(one.reason.startswith(says) for one in app.parked())
    line = app.lines("parked")[0]
    assert (line["error"], line["stream"], line["unreadable_version"]) == ("UnknownEventError", "user-1", 1)
    assert line["reason"] == "no event 'UserRenamed' version 7 is registered"
    assert len(app.metric("ProjectionLag")) == 2
    app.overwrite(bad)
    assert app.redrive() == {"redriven": 2, "parked": 0}
    assert (versions(app, "1"), app.parked(), app.stats()["created"]) == ([2], [], 2)


def test_data_that_does_not_fit_parks_its_stream_and_is_quoted_nowhere(app: Application) -> None:
    (commit,) = app.append("1", UserCreated(name="A"))
    data: dict[str, JsonValue] = {"name": ["Ada Lovelace"], "Lovelace": 1}
    wrong = replace(commit, events=({"type": "UserCreated", "v": 2, "data": data},))
    app.overwrite(wrong)
    assert app.project([wrong]) == NOTHING_FAILED
    assert [one.projection for one in app.parked()] == BOTH
    reason = "UserCreated version 2 does not fit its model at *: extra_forbidden, name: string_type"
    assert all(reason in one.reason for one in app.parked())
    assert {line["reason"] for line in app.lines("parked")} == {reason}
    assert "Lovelace" not in app.printed() + str(app.parked())


def test_a_gap_that_the_table_has_too_parks_the_stream_at_the_last_good_version(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"))
    app.project(commits)
    assert app.project([replace(commits[0], version=3)]) == NOTHING_FAILED
    assert [(one.projection, one.version) for one in app.parked()] == [(projection, 1) for projection in BOTH]
    assert "version 2: is missing from the event table" in app.parked()[0].reason
    assert {(line["error"], line["unreadable_version"]) for line in app.lines("parked")} == {("BrokenStreamError", 2)}


# --- Records that make no sense ---------------------------------------------------------------------------

KEY = {"stream": {"S": "user-1"}, "version": {"N": "1"}, "commit": {"S": "c"}}
UNREADABLE: dict[str, dict[str, dict[str, str]]] = {
    "events that are no JSON": {**KEY, "at": {"N": "1"}, "events": {"S": "no JSON: Ada"}},
    "no events": {**KEY, "at": {"N": "1"}},
    "a version that is no number": {**KEY, "version": {"N": "x"}},
    "no stream in the image": {"version": {"N": "1"}, "commit": {"S": "c"}},
    "a time out of range": {**KEY, "at": {"N": "9" * 30}, "events": {"S": "[]"}},
    "another type of attribute": {**KEY, "at": {"S": "Ada"}, "events": {"S": "[]"}},
}


@pytest.mark.parametrize("image", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_record_of_a_known_stream_is_healed_from_the_event_table(
    app: Application, image: dict[str, dict[str, str]]
) -> None:
    event = stream_event([*app.append("1", UserCreated(name="A")), *app.append("2", UserCreated(name="B"))])
    event["Records"][0]["dynamodb"]["NewImage"] = image
    assert app.call("projections", event) == NOTHING_FAILED
    assert versions(app, "1", "2") == [1, 1]
    assert app.stats()["created"] == 2
    assert app.parked() == []
    (line,) = app.lines("unreadable record")
    assert (line["level"], line["stream"]) == ("WARNING", "user-1")
    assert "Ada" not in app.printed()


def test_several_unreadable_records_of_one_stream_are_healed_at_once(app: Application) -> None:
    event = stream_event(app.append("1", UserCreated(name="A"), UserUpdated(name="B"), UserUpdated(name="C")))
    for record in event["Records"][1:]:
        record["dynamodb"]["NewImage"] = UNREADABLE["no events"]
    assert app.call("projections", event) == NOTHING_FAILED
    assert versions(app, "1") == [3]


def test_an_unreadable_record_of_nobodys_category_is_passed_over(app: Application) -> None:
    event = stream_event(app.append("2", UserCreated(name="B")) * 2)
    event["Records"][0]["dynamodb"] |= {"Keys": {"stream": {"S": "order-1"}}, "NewImage": UNREADABLE["no events"]}
    assert app.call("projections", event) == NOTHING_FAILED
    assert versions(app, "2") == [1]


def test_what_the_table_can_not_say_better_is_parked_until_it_is_repaired(app: Application) -> None:
    (bad,) = app.append("1", UserCreated(name="A"))
    event = stream_event([bad, *app.append("2", UserCreated(name="B"))])
    image = UNREADABLE["events that are no JSON"]
    event["Records"][0]["dynamodb"]["NewImage"] = image
    app.client.put_item(TableName=EVENTS_TABLE, Item=image)
    assert app.call("projections", event) == NOTHING_FAILED
    assert versions(app, "1", "2") == [None, 1]
    assert [(one.projection, one.stream, one.version) for one in app.parked()] == [
        (projection, "user-1", 0) for projection in BOTH
    ]
    assert all(one.reason.startswith("BrokenStreamError: stream 'user-1', version 1: ") for one in app.parked())
    assert "Ada" not in app.printed() + str(app.parked())
    app.overwrite(bad)
    assert app.redrive() == {"redriven": 2, "parked": 0}
    assert (versions(app, "1"), app.stats()["created"]) == ([1], 2)


@pytest.mark.parametrize("keys", [{}, {"stream": {"S": "notes"}}, {"stream": {"N": "1"}}, {"version": {"N": "1"}}])
def test_a_record_that_names_no_stream_is_reported_and_the_others_are_projected(
    app: Application, keys: dict[str, dict[str, str]]
) -> None:
    event = stream_event([*app.append("1", UserCreated(name="A")), *app.append("2", UserCreated(name="B"))])
    event["Records"][0]["dynamodb"] |= {"Keys": keys, "NewImage": {**keys, "events": {"S": "no JSON: Ada"}}}
    assert app.call("projections", event) == {"batchItemFailures": [{"itemIdentifier": "100"}]}
    assert versions(app, "1", "2") == [None, 1]
    assert app.parked() == []
    (line,) = app.lines("unreadable record")
    assert (line["level"], line["sequence_number"]) == ("ERROR", "100")
    assert "Ada" not in app.printed()
