"""A list is laid out in ranges when it is rebuilt; counters may be spread wider at any time. Nothing is lost to either."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from eventfold.operations.rebuild.filling import Filler
from eventfold.operations.rebuild.steps import Rebuild, Timing
from tests.conftest import READ_MODELS_TABLE
from tests.functions.application import forget

if TYPE_CHECKING:
    from tests.functions.application import Application


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a rebuild have time to end without pauses, and write one row after the other: moto takes no two at once."""
    monkeypatch.setattr("functions.rebuild.handler.LEFT_MILLISECONDS", 1_000)
    monkeypatch.setattr("eventfold.application.rebuilds.Filler", partial(Filler, writers=1))
    monkeypatch.setattr("eventfold.application.rebuilds.Rebuild", partial(Rebuild, timing=Timing(0, 0, 0)))


def rebuild(app: Application, projection: str) -> None:
    """Make the state machine's steps."""
    about: dict[str, Any] = {
        "projection": projection,
        "execution": "me",
        "source": "table",
        "segments": 2,
        "rate": None,
    }
    step = app.call("rebuild", about | {"step": "begin"})
    while step["phase"] != "done":
        now = about | {key: step[key] for key in ("phase", "generation")}
        for part in step["parts"]:
            app.call("rebuild", now | {"step": "work", "part": part})
        step = app.call("rebuild", now | {"step": "close", "promote": True})
    forget()


def names(app: Application) -> list[str]:
    """Return the whole list, by pages of three."""
    query, found = {"limit": "3"}, []
    while True:
        page = app.request("GET", "/users", query=query).body
        found += [user["name"] for user in page["users"]]
        if page["cursor"] is None:
            return found
        query["cursor"] = page["cursor"]


def partitions(app: Application, projection: str) -> set[str]:
    """Return the partitions of the index that a generation's rows lie in."""
    items = app.client.scan(TableName=READ_MODELS_TABLE)["Items"]
    found = {item["shard"]["S"] for item in items if "shard" in item}
    return {shard for shard in found if shard.startswith(f"{projection}#")}


def test_a_rebuild_lays_a_list_out_and_nobody_is_lost(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventfold.dynamodb.ranges.SAMPLES", 1)
    letters = "abcdefghijkl"
    ids = {letter: app.create(f"{letter}-name") for letter in letters}
    app.project()
    assert names(app) == [f"{letter}-name" for letter in letters]
    assert partitions(app, "directory") == {"directory#0"}
    monkeypatch.setenv("LIST_SHARDS", "4")
    forget()
    rebuild(app, "directory")
    assert partitions(app, "directory.2") == {f"directory.2#{n}" for n in range(4)}
    assert names(app) == [f"{letter}-name" for letter in letters]
    monkeypatch.setenv("LIST_SHARDS", "40")  # It is the next rebuild's, and changes nothing before.
    forget()
    app.rename(ids["a"], "zz")
    app.rename(ids["k"], "bb")
    app.request("DELETE", f"/users/{ids['f']}")
    app.create("mm")
    app.project()
    assert names(app) == sorted({f"{letter}-name" for letter in letters if letter not in "akf"} | {"bb", "mm", "zz"})
    assert partitions(app, "directory.2") <= {f"directory.2#{n}" for n in range(4)}
    rebuild(app, "directory")
    assert len(partitions(app, "directory.3")) == 12
    assert names(app) == sorted({f"{letter}-name" for letter in letters if letter not in "akf"} | {"bb", "mm", "zz"})


@pytest.mark.parametrize("rebuilt", [False, True])
def test_tally_shards_may_be_changed_at_any_time(
    app: Application,
    monkeypatch: pytest.MonkeyPatch,
    rebuilt: bool,  # noqa: FBT001 - one of two
) -> None:
    ids: list[str] = []
    for shards in ("4", "80", "3"):
        monkeypatch.setenv("TALLY_SHARDS", shards)
        forget()
        ids += [app.create(f"User {n}") for n in range(12)]
        app.request("DELETE", f"/users/{ids[-1]}")
        app.project()
        before = app.request("GET", "/stats").body
        assert (before["created"], before["deleted"]) == (len(ids), len(ids) // 12)
    if rebuilt:
        rebuild(app, "stats")
    stats = app.request("GET", "/stats").body
    assert (stats["created"], stats["deleted"]) == (36, 3)
    found = {key.rpartition("#")[2] for key in counters(app, "stats.2" if rebuilt else "stats")}
    assert max(map(int, found)) == (2 if rebuilt else pytest.approx(60, abs=20))


def counters(app: Application, stored: str) -> set[str]:
    """Return the keys of the items that the total is spread over."""
    items = app.client.scan(TableName=READ_MODELS_TABLE)["Items"]
    return {key for item in items if (key := item["key"]["S"]).startswith(f"{stored}#total#")}
