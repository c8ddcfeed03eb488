"""Stream to read models: what a batch does to them, in any order and any number of times; logs and metrics."""

from __future__ import annotations

import json
from copy import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from app import main
from app.users.rules import UserCreated, UserDeleted, UserUpdated
from eventfold.core.errors import StoreUnavailableError
from tests.functions.application import START
from tests.support import stream_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold import Commit
    from tests.functions.application import Application

NOTHING_FAILED: dict[str, list[dict[str, str]]] = {"batchItemFailures": []}


def versions(app: Application, *ids: str) -> list[int | None]:
    """Return the version at which the directory has each of these users."""
    return [app.request("GET", f"/users/{id_}").body.get("version") for id_ in ids]


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
    assert app.stats()["created"] == 1
    assert app.metric("DuplicatesDropped") == [3, 3]  # Each read model counts its own.


def test_a_gap_is_read_from_the_table_and_counted(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"), UserUpdated(email="a@b"), UserUpdated(name="C"))
    assert app.project(commits[2:]) == NOTHING_FAILED
    assert app.request("GET", "/users/1").body == {"id": "1", "name": "C", "email": "a@b", "version": 3}
    assert app.metric("GapsHealed") == [1, 2], "to the statistics, what adds nothing is no gap"
    assert app.parked() == []


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


# --- What is out of reach comes again ---------------------------------------------------------------------


def test_read_models_out_of_reach_fail_the_batch_as_a_whole(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(projection: str, streams: Sequence[str], **_: bool) -> None:
        raise StoreUnavailableError(f"{projection} {len(streams)}")

    commits = app.append("1", UserCreated(name="A"), start=datetime.now(UTC))
    get = main.application.row_store.get
    monkeypatch.setattr(main.application.row_store, "get", unavailable)
    with pytest.raises(StoreUnavailableError):
        app.project(commits)
    assert app.parked() == []
    assert [line["projection"] for line in app.lines("projection failed")] == ["directory"]
    monkeypatch.setattr(main.application.row_store, "get", get)
    assert app.project(commits) == NOTHING_FAILED
    assert versions(app, "1") == [1]


@pytest.mark.parametrize("down", ["directory", "stats"])
def test_a_read_model_out_of_reach_does_not_hold_up_the_other(
    app: Application, monkeypatch: pytest.MonkeyPatch, down: str
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailableError("ThrottlingException")

    commits = app.append("1", UserCreated(name="A"), start=datetime.now(UTC))
    store, read = (
        (main.application.row_store, "get") if down == "directory" else (main.application.tally_store, "checkpoints")
    )
    with monkeypatch.context() as patch:
        patch.setattr(store, read, unavailable)
        with pytest.raises(StoreUnavailableError):
            app.project(commits)
    seen = {"directory": versions(app, "1") == [1], "stats": app.stats()["created"] == 1}
    assert seen == {"directory": down != "directory", "stats": down != "stats"}
    assert app.project(commits) == NOTHING_FAILED
    assert (versions(app, "1"), app.stats()["created"]) == ([1], 1)


def test_a_stream_that_can_not_even_be_parked_fails_the_batch_so_that_it_comes_again(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailableError("ThrottlingException")

    (commit,) = app.append("1", UserCreated(name="A"))
    monkeypatch.setattr(main.application.parked_store, "park", unavailable)
    with pytest.raises(StoreUnavailableError):
        app.project([replace(commit, version=9)])


# --- Logs and metrics -------------------------------------------------------------------------------------


def test_the_correlation_id_of_a_request_reaches_the_projections_log(app: Application) -> None:
    for correlation_id in ("request-a", "request-b"):
        app.request("POST", "/users", {"name": "Ada"}, headers={"X-Correlation-Id": correlation_id})
    app.project()
    (line,) = app.lines("projected")
    assert set(line["commits"]) == {"stats", "directory"}, "a batch is one line"
    for commits in line["commits"].values():
        assert sorted(one[1:] for one in commits) == [[1, "request-a"], [1, "request-b"]]
    assert {line["correlation_id"] for line in app.lines("command handled")} == {"request-a", "request-b"}


def test_the_correlation_id_reaches_the_log_of_a_commit_that_waits_too(app: Application) -> None:
    (commit,) = app.append("1", UserCreated(name="A"), meta={"correlation_id": "request-a"})
    app.project([replace(commit, version=9)])
    lines = app.lines("not projected")
    waits = ["user-1", 9, "request-a"]
    assert [(line["projection"], line["commits"]) for line in lines] == [("stats", [waits]), ("directory", [waits])]
    assert app.metric("ProjectionLag") == []


def test_the_lag_of_each_commit_is_measured_in_milliseconds_for_each_read_model(app: Application) -> None:
    id_ = app.create()
    app.rename(id_, "B")
    app.project()
    lags = app.metric("ProjectionLag")
    assert len(lags) == 2 * 2
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
