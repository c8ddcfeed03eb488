"""The redrive function: on a schedule or by hand, all that is parked, a projection's, or one stream."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING

import pytest

from app import main
from app.users.rules import UserCreated, UserUpdated
from eventfold.core.errors import StoreUnavailableError
from eventfold.read_models.feed import UnknownProjectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold import Commit
    from eventfold.core.stored import StoredEvent
    from tests.functions.application import Application

UNKNOWN: tuple[StoredEvent, ...] = ({"type": "UserRenamed", "v": 7, "data": {"name": "Ada"}},)
ALL = {(projection, f"user-{id_}") for projection in ("directory", "stats") for id_ in "123"}


def park(app: Application, *ids: str) -> dict[str, Commit]:
    """Park users by an event that nobody knows; return what would repair them."""
    repairs = {}
    for id_ in ids:
        good, later = app.append(id_, UserCreated(name=id_), UserUpdated(name=f"{id_} B"))
        bad = replace(good, events=UNKNOWN)
        app.overwrite(bad)
        app.project([bad, later])
        repairs[id_] = good
    return repairs


def left(app: Application) -> set[tuple[str, str]]:
    """Return what is parked: projection and stream."""
    return {(one.projection, one.stream) for one in app.parked()}


def test_the_schedule_redrives_everything_that_was_repaired(app: Application) -> None:
    repairs = park(app, "1", "2", "3")
    assert left(app) == ALL
    for repair in repairs.values():
        app.overwrite(repair)
    assert app.redrive() == {"redriven": 6, "parked": 0}
    assert left(app) == set()
    assert app.stats()["created"] == 3
    assert [app.request("GET", f"/users/{id_}").body["name"] for id_ in "123"] == ["1 B", "2 B", "3 B"]
    assert {(line["projection"], line["stream"]) for line in app.lines("released")} == ALL
    assert app.metric("ParkedStreams") == [0]


def test_nothing_parked_is_nothing_done(app: Application) -> None:
    assert app.redrive() == {"redriven": 0, "parked": 0}
    assert app.metric("ParkedStreams") == [0]


def test_what_still_fails_stays_parked_since_its_first_failure_and_does_not_hold_up_the_others(
    app: Application,
) -> None:
    repairs = park(app, "1", "2", "3")
    before = {(one.projection, one.stream): one for one in app.parked()}
    app.overwrite(repairs["2"])
    assert app.redrive() == {"redriven": 2, "parked": 4}
    assert left(app) == {one for one in ALL if one[1] != "user-2"}
    for one in app.parked():
        assert one.attempts == before[one.projection, one.stream].attempts + 1
        assert (one.since, one.version) == (before[one.projection, one.stream].since, 0)
    assert app.metric("ParkedStreams") == [4]
    assert app.redrive() == {"redriven": 0, "parked": 4}
    assert app.stats()["created"] == 1
    assert "Ada" not in app.printed() + str(app.parked())


def test_one_projections_streams_are_redriven(app: Application) -> None:
    for repair in park(app, "1", "2", "3").values():
        app.overwrite(repair)
    assert app.redrive(projection="stats") == {"redriven": 3, "parked": 0}
    assert left(app) == {one for one in ALL if one[0] == "directory"}
    assert app.stats()["created"] == 3
    assert app.request("GET", "/users/1").status == 404
    assert app.metric("ParkedStreams") == [3]  # All that are left, whatever was asked for.


def test_one_stream_is_redriven_in_every_projection_or_in_one(app: Application) -> None:
    for repair in park(app, "1", "2", "3").values():
        app.overwrite(repair)
    assert app.redrive(stream="user-1") == {"redriven": 2, "parked": 0}
    assert app.redrive(stream="user-2", projection="directory") == {"redriven": 1, "parked": 0}
    assert left(app) == {one for one in ALL if one[1] != "user-1" and one != ("directory", "user-2")}


def test_a_stream_that_is_not_parked_is_left_alone(app: Application) -> None:
    park(app, "1")
    assert app.redrive(stream="user-2") == {"redriven": 0, "parked": 0}
    assert len(app.parked()) == 2


def test_a_projection_that_there_is_not_is_an_error_that_names_those_there_are(app: Application) -> None:
    park(app, "1")
    with pytest.raises(
        UnknownProjectionError, match="There is no projection 'stat'; there are: balances, directory, stats"
    ):
        app.redrive(projection="stat")
    assert app.metric("ParkedStreams") == [2]


def test_redriving_twice_changes_nothing_more(app: Application) -> None:
    commits = app.append("1", UserCreated(name="A"))
    app.project(commits)
    main.application.parked_store.park("stats", "user-1", 0, "an entry that was left behind")
    assert app.redrive() == {"redriven": 1, "parked": 0}
    assert app.redrive() == {"redriven": 0, "parked": 0}
    assert app.stats()["created"] == 1


def test_the_alarm_is_told_of_parked_streams_although_the_read_models_are_out_of_reach(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(projection: str, streams: Sequence[str], **_: bool) -> None:
        raise StoreUnavailableError("ThrottlingException")

    park(app, "1")
    monkeypatch.setattr(main.application.row_store, "get", unavailable)
    with pytest.raises(StoreUnavailableError):
        app.redrive()
    assert app.metric("ParkedStreams") == [2]
    assert len(app.parked()) == 2
