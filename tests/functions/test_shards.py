"""Lists and counters are spread as the settings say, and may be spread wider while they are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import READ_MODELS_TABLE
from tests.functions.application import forget

if TYPE_CHECKING:
    import pytest

    from tests.functions.application import Application

DAYS = {"first": "2000-01-01", "last": "2000-12-31"}


def test_shards_may_be_raised_at_any_time(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [app.create(f"Narrow {n}") for n in range(12)]
    app.project()
    lists, counters = shards_used(app)
    assert lists <= 4
    assert counters <= 8
    monkeypatch.setenv("LIST_SHARDS", "40")
    monkeypatch.setenv("TALLY_SHARDS", "80")
    forget()
    ids += [app.create(f"Wide {n}") for n in range(12)]
    for id_ in ids[::2]:
        app.rename(id_, f"Renamed {id_}")
    app.request("DELETE", f"/users/{ids[1]}")
    app.project()
    lists, counters = shards_used(app)
    assert lists > 4
    assert counters > 8
    listed = app.request("GET", "/users", query={"limit": "100"}).body["users"]
    assert sorted(user["id"] for user in listed) == sorted({*ids} - {ids[1]})
    stats = app.stats(**DAYS)
    assert (stats["created"], stats["deleted"]) == (24, 1)


def shards_used(app: Application) -> tuple[int, int]:
    """Return over how many shards there could be the list and the total are spread: one more than the highest used."""
    items = app.client.scan(TableName=READ_MODELS_TABLE)["Items"]
    lists = {item["shard"]["S"].rpartition("#")[2] for item in items if "shard" in item}
    counters = {key.rpartition("#")[2] for item in items if (key := item["key"]["S"]).startswith("stats#total#")}
    return 1 + max(map(int, lists)), 1 + max(map(int, counters))
