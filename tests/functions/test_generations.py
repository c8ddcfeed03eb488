"""Read models with several generations: what the functions feed, in which order, and what queries show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.users.rules import UserCreated, UserUpdated
from eventfold.core.errors import StoreUnavailableError
from eventfold.read_models.generations import Control
from eventfold.read_models.projections import Row

if TYPE_CHECKING:
    from tests.functions.application import Application

AT = datetime(2026, 1, 1, tzinfo=UTC)


def begin(name: str, status: Any = "filling") -> Control:
    """Give a read model a second generation."""
    store = main.application.control_store
    begun = store.write(store.read([name])[name].begun("table", 1, AT))
    know_anew()
    return begun if status == "filling" else store.write(begun.moved(2, status, AT))


def know_anew() -> None:
    """Let this process forget which generations there are."""
    for part in ("generations", "feed"):
        vars(main.application).pop(part, None)


def rows(stored: str, *ids: str) -> dict[str, int]:
    """Return the versions at which a generation has these users."""
    return {
        key: row.version for key, row in main.application.row_store.get(stored, [f"user-{id_}" for id_ in ids]).items()
    }


def break_for(monkeypatch: pytest.MonkeyPatch, stored: str, operation: str = "put") -> list[str]:
    """Let a generation's reads or writes fail; return the names that were used, as they come."""
    used: list[str] = []
    store: Any = main.application.row_store
    call = getattr(store, operation)

    def failing(projection: str, *rest: object, **named: object) -> object:
        used.append(projection)
        if projection == stored:
            raise StoreUnavailableError("ThrottlingException")
        return call(projection, *rest, **named)

    monkeypatch.setattr(store, operation, failing)
    return used


def test_a_batch_feeds_every_generation_and_the_active_one_last(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("directory")
    begin("stats")
    order = break_for(monkeypatch, "none")
    app.project(app.append("1", UserCreated(name="A")))
    assert order == ["directory.2", "directory"]
    assert rows("directory", "1") == rows("directory.2", "1") == {"user-1": 1}
    assert main.application.tally_store.totals("stats.2", ["total"]) == {"total": {"created": 1}}
    main.application.control_store.write(begin_ready("directory").promoted(2, AT))
    know_anew()
    order.clear()
    app.project(app.append("1", UserUpdated(name="B")))
    assert order == ["directory", "directory.2"]


def begin_ready(name: str) -> Control:
    """Make the second generation ready to be promoted."""
    store = main.application.control_store
    return store.write(store.read([name])[name].moved(2, "ready", AT))


def test_queries_show_the_active_generation(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("directory", "stats"):
        begin(name)
    app.project(app.append("1", UserCreated(name="A")))
    main.application.row_store.put(
        "directory.2", Row("user-1", 2, '{"id": "1", "name": "New"}', "new\0user-1"), replaces=1
    )
    ask = app.request
    assert ask("GET", "/users/1").body["name"] == "A"
    for name in ("directory", "stats"):
        main.application.control_store.write(begin_ready(name).promoted(2, AT))
    monkeypatch.setattr("eventfold.read_models.live.LIST_SECONDS", 0)
    assert ask("GET", "/users/1").body["name"] == "New"
    assert [user["name"] for user in ask("GET", "/users").body["users"]] == ["New"]
    assert app.stats()["created"] == 1
    back = main.application.control_store.read(["directory"])["directory"]
    main.application.control_store.write(back.promoted(1, AT))
    assert ask("GET", "/users/1").body["name"] == "A"
    assert [user["name"] for user in ask("GET", "/users").body["users"]] == ["A"]


def test_a_stream_that_fails_in_one_generation_is_parked_there_alone(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("directory")
    with monkeypatch.context() as patch:
        break_for(patch, "directory.2")
        app.project(app.append("1", UserCreated(name="A")))
    assert [(one.projection, one.stream) for one in app.parked()] == [("directory.2", "user-1")]
    assert rows("directory", "1") == {"user-1": 1}
    assert app.redrive() == {"redriven": 1, "parked": 0}
    assert rows("directory.2", "1") == {"user-1": 1}


@pytest.mark.parametrize("status", ["filling", "verifying", "ready", "retired"])
def test_the_active_generation_waits_for_one_that_can_not_be_read_until_that_is_parked(
    app: Application, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    begin("directory", status)
    late = app.append("1", UserCreated(name="A"))
    young = app.append("2", UserCreated(name="B"), start=datetime.now(UTC))
    with monkeypatch.context() as patch:
        break_for(patch, "directory.2", "get")
        with pytest.raises(StoreUnavailableError):
            app.project(young)
        assert (app.parked(), rows("directory", "2")) == ([], {})
        app.project(late)
    assert [(one.projection, one.stream) for one in app.parked()] == [("directory.2", "user-1")]
    assert rows("directory", "1", "2") == {"user-1": 1}
    assert app.stats()["created"] == 2
    app.project(young)
    app.redrive()
    assert rows("directory", "1", "2") == rows("directory.2", "1", "2") == {"user-1": 1, "user-2": 1}


@pytest.mark.parametrize("status", ["filling", "verifying", "ready", "retired"])
def test_the_active_generation_goes_no_further_than_the_others_whatever_is_committed_meanwhile(
    app: Application, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Whatever this process takes a generation for: it may be verified and shown before this invocation ends."""
    begin("directory", status)
    _, second = app.append("1", UserCreated(name="A"), UserUpdated(name="B"))
    get = main.application.row_store.get

    def get_late(projection: str, streams: Any, **how: bool) -> dict[str, Row]:
        if projection == "directory":
            app.append("1", UserUpdated(name="C"))
        return get(projection, streams, **how)

    with monkeypatch.context() as patch:
        patch.setattr(main.application.row_store, "get", get_late)
        app.project([second])
    assert rows("directory", "1") == rows("directory.2", "1") == {"user-1": 2}


def test_only_the_active_generation_s_lag_is_measured(app: Application) -> None:
    begin("directory")
    app.project(app.append("1", UserCreated(name="A")))
    assert len(app.metric("ProjectionLag")) == 2  # the directory and the statistics


def test_what_was_parked_under_a_generation_that_is_gone_is_forgotten(app: Application) -> None:
    park = main.application.parked_store.park
    park("directory.7", "user-1", 0, "a generation that was dropped")
    park("gone", "user-1", 0, "a projection that the code no longer has, or does not have yet")
    assert app.redrive() == {"redriven": 0, "parked": 0}
    assert [one.projection for one in app.parked()] == ["gone"]
    assert app.metric("ParkedStreams") == [0]


def test_an_unknown_projection_is_forgotten_after_an_hour(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    main.application.parked_store.park("gone", "user-1", 0, "a projection that the code no longer has")
    monkeypatch.setattr("eventfold.read_models.feed.FORGET_AFTER", timedelta(0))
    app.redrive()
    assert app.parked() == []


def test_a_generation_that_began_a_moment_ago_is_not_taken_for_one_that_is_gone(app: Application) -> None:
    """What a process remembers of the generations must not decide what is forgotten."""
    assert main.application.generations.controls()["directory"].newest == 1
    main.application.control_store.write(Control.first("directory").begun("table", 1, AT))
    app.append("1", UserCreated(name="A"))
    main.application.parked_store.park("directory.2", "user-1", 0, "x")
    assert app.redrive() == {"redriven": 1, "parked": 0}
    assert rows("directory.2", "1") == {"user-1": 1}
