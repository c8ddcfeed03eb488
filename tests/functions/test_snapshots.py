"""Stream to snapshots: taken once when due, never an older one over a newer, and used by what reads next."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING

import pytest

from app import main
from app.users.rules import USERS, UserCreated, UserUpdated
from eventfold import Snapshot, load
from eventfold.core.errors import StoreUnavailableError
from tests.support import stream_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold import Commit
    from eventfold.core.store import Item
    from tests.functions.application import Application

NOTHING_FAILED: dict[str, list[dict[str, str]]] = {"batchItemFailures": []}


def user_of(app: Application, events: int, id_: str = "1") -> list[Commit]:
    """Append a user with so many events, every fifth due."""
    return app.append(id_, UserCreated(name="0"), *(UserUpdated(name=str(number)) for number in range(1, events)))


def snapshots(app: Application) -> list[Snapshot]:
    """Return the stored snapshots."""
    return [item for item in app.stored() if isinstance(item, Snapshot)]


def test_a_snapshot_is_taken_when_a_commit_is_due(app: Application) -> None:
    commits = app.append("1", UserCreated(name="0"), *(UserUpdated(name=str(n)) for n in range(1, 5)), meta={"correlation_id": "request-a"})  # fmt: skip
    assert app.snapshot() == NOTHING_FAILED
    (taken,) = snapshots(app)
    assert (taken.stream, taken.version, taken.at) == ("user-1", 5, commits[-1].at)
    assert taken.schema == USERS.schema
    (line,) = app.lines("snapshot taken")
    assert (line["stream"], line["version"], line["correlation_id"]) == ("user-1", 5, "request-a")


def test_a_snapshot_saves_a_load_the_events_before_it(app: Application) -> None:
    user_of(app, 7)
    app.snapshot()
    loaded = load(main.application.event_store, USERS, "user-1")
    assert (loaded.snapshot_version, loaded.version, loaded.state.name) == (7, 7, "6")
    app.rename("1", "last")
    assert load(main.application.event_store, USERS, "user-1").state.name == "last"


def test_a_commit_that_is_not_due_is_passed_over(app: Application) -> None:
    commits = user_of(app, 4)
    assert app.snapshot(commits) == NOTHING_FAILED
    assert snapshots(app) == []


def test_duplicates_write_nothing(app: Application) -> None:
    due = user_of(app, 5)[-1:]
    for _ in range(2):
        assert app.snapshot([*due, *due]) == NOTHING_FAILED
    assert len(snapshots(app)) == 1
    assert len(app.lines("snapshot taken")) == 1


def test_a_late_record_does_not_put_an_older_snapshot_over_a_newer(app: Application) -> None:
    first = user_of(app, 5)[-1]
    second = app.append("1", *(UserUpdated(name=f"later {number}") for number in range(5)))[-1]
    app.snapshot([second])
    (newest,) = snapshots(app)
    app.snapshot([first])
    assert snapshots(app) == [newest]
    assert newest.version == 10


def test_a_snapshot_is_no_trigger_for_another(app: Application) -> None:
    user_of(app, 5)
    app.snapshot()
    items: list[Item] = list(snapshots(app))
    assert app.snapshot(items) == NOTHING_FAILED
    assert len(snapshots(app)) == 1


def test_a_snapshot_of_another_schema_is_replaced_by_a_usable_one(app: Application) -> None:
    due = user_of(app, 5)[-1:]
    main.application.event_store.save_snapshot(Snapshot("user-1", 5, "another", '{"shape":"old"}', due[0].at))
    app.snapshot(due)
    (taken,) = snapshots(app)
    assert taken.schema == USERS.schema


def test_unreadable_records_unknown_categories_and_failing_streams_are_reported_and_the_rest_is_done(
    app: Application,
) -> None:
    due = user_of(app, 5)[-1]
    broken = replace(user_of(app, 5, "2")[-1])
    app.client.delete_item(TableName="events", Key={"stream": {"S": "user-2"}, "version": {"N": "3"}})
    event = stream_event([due, broken, replace(due, stream="order-1"), due])
    event["Records"][0]["dynamodb"]["NewImage"] = {"stream": {"S": "user-9"}, "version": {"N": "Ada"}}
    answer = app.call("snapshots", event)
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == ["100", "101", "102"]
    assert [taken.stream for taken in snapshots(app)] == ["user-1"]
    lines = app.lines("snapshot failed")
    assert [line["error"] for line in lines] == ["ValueError", "BrokenStreamError", "KeyError"]
    assert "Ada" not in app.printed()


def test_a_batch_that_fails_whole_is_reported_record_by_record(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> Iterator[Item]:
        raise StoreUnavailableError("ThrottlingException")

    due = user_of(app, 5)[-1]
    monkeypatch.setattr(main.application.event_store, "newest_first", unavailable)
    answer = app.snapshot([due, due])
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == ["100", "101"]
