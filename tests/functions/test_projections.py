"""Stream to read models: what a batch does to the directory, what it reports as failed, what it logs and measures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app import wiring
from app.users import UserCreated, UserDeleted, UserUpdated
from eventfold.errors import StoreUnavailableError
from tests.functions.application import START
from tests.support import stream_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold import Commit, Row
    from tests.functions.application import Application

NOTHING_FAILED: dict[str, list[dict[str, str]]] = {"batchItemFailures": []}


def versions(app: Application, *ids: str) -> list[int | None]:
    """Return the version at which the directory has each of these users."""
    return [app.request("GET", f"/users/{id_}").body.get("version") for id_ in ids]


def failed(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    """Return the sequence numbers that an answer reports; a batch's first is 100."""
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_a_batch_of_several_users_is_projected(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"), UserUpdated(name="B")) + app.append("2", UserCreated(name="C"))
    assert app.project(commits) == NOTHING_FAILED
    assert versions(app, "1", "2") == [2, 1]
    assert app.request("GET", "/users/1").body["name"] == "B"


def test_a_batch_in_any_order_gives_the_same(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"), UserUpdated(email="a@b"), UserUpdated(name="C"))
    assert app.project(commits[::-1]) == NOTHING_FAILED
    assert app.request("GET", "/users/1").body == {"id": "1", "name": "C", "email": "a@b", "version": 3}


def test_a_duplicate_changes_nothing_and_is_counted(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"), UserUpdated(name="B"))
    app.project(commits)
    assert app.project([*commits, commits[0]]) == NOTHING_FAILED
    assert app.request("GET", "/users/1").body["name"] == "B"
    assert app.metric("DuplicatesDropped") == [0, 3]


def test_a_gap_is_read_from_the_table_and_counted(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"), UserUpdated(email="a@b"), UserUpdated(name="C"))
    assert app.project(commits[2:]) == NOTHING_FAILED
    assert app.request("GET", "/users/1").body == {"id": "1", "name": "C", "email": "a@b", "version": 3}
    assert app.metric("GapsHealed") == [2]


def test_a_late_commit_does_not_bring_a_deleted_user_back(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"), UserUpdated(name="B"), UserDeleted())
    app.project(commits)
    app.project(commits[:2])
    assert app.request("GET", "/users/1").status == 410


def test_snapshots_removals_and_other_categories_are_passed_over(app: Application) -> None:
    app.append("1", UserCreated(name="A"), *[UserUpdated(name=name) for name in "BCDE"])
    app.snapshot()
    event = stream_event([*app.stored("1"), _of_another_category(app.commits("1")[0])])
    assert event["Records"][-2]["dynamodb"]["NewImage"]["version"] == {"N": "5.5"}
    removed = json.loads(json.dumps(event["Records"][0])) | {"eventName": "REMOVE"}
    del removed["dynamodb"]["NewImage"]
    assert app.call("projections", {"Records": [*event["Records"], removed]}) == NOTHING_FAILED
    assert versions(app, "1") == [5]


def test_an_empty_batch_is_no_failure(app: Application) -> None:
    assert app.project([]) == NOTHING_FAILED


# --- What fails is reported, the rest is done -------------------------------------------------------------

UNREADABLE_IMAGES = [
    {"stream": {"S": "user-1"}, "version": {"N": "1"}, "events": {"S": "no JSON: Ada"}, "commit": {"S": "c"}},
    {"stream": {"S": "user-1"}, "version": {"N": "1"}, "commit": {"S": "c"}, "at": {"N": "1"}},
    {"stream": {"S": "user-1"}, "version": {"N": "x"}, "commit": {"S": "c"}},
    {"version": {"N": "1"}, "commit": {"S": "c"}},
    {
        "stream": {"S": "user-1"},
        "version": {"N": "1"},
        "commit": {"S": "c"},
        "at": {"N": "9" * 30},
        "events": {"S": "[]"},
    },
]


@pytest.mark.parametrize("image", UNREADABLE_IMAGES)
def test_an_unreadable_record_is_reported_and_the_others_are_projected(
    app: Application, image: dict[str, dict[str, str]]
) -> None:
    event = stream_event([*app.append("1", UserCreated(name="A")), *app.append("2", UserCreated(name="B"))])
    event["Records"][0]["dynamodb"]["NewImage"] = image
    assert failed(app.call("projections", event)) == ["100"]
    assert versions(app, "1", "2") == [None, 1]
    (line,) = app.lines("unreadable record")
    assert line["sequence_number"] == "100"
    assert "Ada" not in app.printed()


def test_a_failing_stream_is_reported_whole_and_the_others_are_projected(app: Application) -> None:
    bad, *after = app.append("1", UserCreated(name="A"), UserUpdated(name="B"))
    unknown = replace(bad, events=({"type": "UserRenamed", "v": 7, "data": {"name": "Ada"}},))
    good = app.append("2", UserCreated(name="C"))
    assert failed(app.project([unknown, *good, *after])) == ["100", "102"]
    assert versions(app, "1", "2") == [None, 1]
    lines = app.lines("projection failed")
    assert [(line["error"], line["stream"], line["version"]) for line in lines] == [
        ("UnknownEventError", "user-1", 1),
        ("UnknownEventError", "user-1", 2),
    ]
    assert lines[0]["reason"] == "no event 'UserRenamed' version 7 is registered"
    assert len(app.metric("ProjectionLag")) == 1


def test_a_gap_that_the_table_has_too_is_a_failure(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"))
    gap = replace(commits[0], version=3)
    assert failed(app.project([gap])) == ["100"]
    (line,) = app.lines("projection failed")
    assert (line["error"], line["unreadable_version"]) == ("BrokenStreamError", 2)


def test_a_write_that_is_throttled_fails_its_stream_alone(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = [*app.append("1", UserCreated(name="A")), *app.append("2", UserCreated(name="B"))]
    put = wiring.row_store().put

    def throttled(projection: str, row: Row, *, replaces: int) -> None:
        if row.stream == "user-1":
            raise StoreUnavailableError("ThrottlingException")
        put(projection, row, replaces=replaces)

    monkeypatch.setattr(wiring.row_store(), "put", throttled)
    assert failed(app.project(commits)) == ["100"]
    assert versions(app, "1", "2") == [None, 1]
    monkeypatch.undo()


def test_read_models_out_of_reach_fail_the_batch_as_a_whole(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(projection: str, streams: Sequence[str]) -> None:
        raise StoreUnavailableError(f"{projection} {len(streams)}")

    commits = app.append("1", UserCreated(name="A"))
    monkeypatch.setattr(wiring.row_store(), "get", unavailable)
    with pytest.raises(StoreUnavailableError):
        app.project(commits)


# --- Logs and metrics -------------------------------------------------------------------------------------


def test_the_correlation_id_of_a_request_reaches_the_projections_log(app: Application) -> None:
    for correlation_id in ("request-a", "request-b"):
        app.request("POST", "/users", {"name": "Ada"}, headers={"X-Correlation-Id": correlation_id})
    app.project()
    lines = app.lines("projected")
    assert {line["correlation_id"] for line in lines} == {"request-a", "request-b"}
    assert {(line["function_name"], line["projection"], line["version"]) for line in lines} == {
        ("projections", "directory", 1)
    }
    assert {line["correlation_id"] for line in app.lines("command handled")} == {"request-a", "request-b"}


def test_the_correlation_id_reaches_the_log_of_a_failure_too(app: Application) -> None:
    (commit,) = app.append("1", UserCreated(name="A"), meta={"correlation_id": "request-a"})
    app.project([replace(commit, version=9)])
    assert app.lines("projection failed")[0]["correlation_id"] == "request-a"


def test_the_lag_of_each_commit_is_measured_in_milliseconds(app: Application) -> None:
    id_ = app.create()
    app.rename(id_, "B")
    app.project()
    lags = app.metric("ProjectionLag")
    assert len(lags) == 2
    assert all(0 <= lag < 60_000 for lag in lags)
    (printed,) = [json.loads(line) for line in app.printed().splitlines() if '"ProjectionLag"' in line]
    (directive,) = printed["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "eventfold"
    assert {"Name": "ProjectionLag", "Unit": "Milliseconds"} in directive["Metrics"]


def test_an_old_commit_shows_as_a_long_lag(app: Application) -> None:
    app.project(app.append("1", UserCreated(name="A")))
    assert app.metric("ProjectionLag")[0] > 1000
    assert app.commits("1")[0].at > START


def _of_another_category(commit: Commit) -> Commit:
    return replace(commit, stream="order-1")
