"""What lists and statistics cost, however much there is: the figures of docs/scale.md, as DynamoDB Local counts them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from app.users.stats import stats_between
from benchmarks.scale import queries
from eventfold.application import Application
from eventfold.dynamodb.items import item_bytes
from eventfold.dynamodb.ranges import SAMPLES
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.read_models.projections import Row
from eventfold.read_models.tallies import Checkpoint
from eventfold.testing import Meter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local


@pytest.mark.parametrize("shards", [4, 64])
@pytest.mark.parametrize("number", [20, 10_000])
def test_a_page_of_a_list_is_one_request_and_its_size(
    local_client: DynamoDBClient, local_tables: tuple[str, str], number: int, shards: int
) -> None:
    rows = DynamoDBRowStore(local_client, local_tables[1], shards=shards)
    listed = [Row(f"user-{n:032}", 1, "{}".rjust(110), f"{n:05} lovelace\0user-{n:032}") for n in range(number)]
    rows.lay_out("directory", random.Random(0).sample([row.sort or "" for row in listed], number))  # noqa: S311 - a seed
    items = [rows._item("directory", row) for row in listed]
    assert len({item["shard"]["S"] for item in items}) == min(shards, max(number // SAMPLES, 1))
    write(local_client, local_tables[1], items)
    for limit in (21, 101):
        with Meter.on(local_client) as meter:
            page = rows.listed("directory", prefix="", after=None, limit=limit)
        assert len(page) == min(number, limit)
        entry = {name: value for name, value in items[0].items() if name != "version"}  # what the index has of a row
        expected = queries.listed(len(page), item_bytes(entry))
        assert (meter.requests, meter.capacity) == (["Query"] * expected.requests, expected.read_units)
    with patch.object(rows, "_query", wraps=rows._query) as asked:
        rows.listed("directory", prefix="", after=None, limit=21)
    assert asked.call_count == 1, "a range that the page does not reach is not thought of"
    with Meter.on(local_client) as meter:
        assert len(rows.listed("directory", prefix="00001", after=None, limit=21)) == 1
        assert rows.listed("directory", prefix="lovelace", after=None, limit=21) == []
    assert meter.requests == ["Query"] * 2
    assert meter.capacity <= 1
    with Meter.on(local_client) as meter:
        whole = rows.listed("directory", prefix="", after=None, limit=number + 1)
    assert [row.sort for row in whole] == [row.sort for row in listed]
    assert len(meter.requests) <= shards + queries.units(number * item_bytes(items[0])) / 256, (
        "ranges, and pages of 1 MB"
    )


@pytest.mark.parametrize("shards", [4, 64])
@pytest.mark.parametrize("counted", [0, 10_000])
def test_statistics_are_read_in_proportion_to_shards_and_months(
    local_client: DynamoDBClient,
    local_tables: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    counted: int,
    shards: int,
) -> None:
    tallies = DynamoDBTallyStore(local_client, local_tables[1], shards=shards)
    tallies.add("stats", {}, {Checkpoint("user-1", 1): None})
    monkeypatch.setattr(Application, "tally_store", tallies)
    last = date(2026, 7, 15)
    days = {f"{day:02}.{name}": {"N": str(counted)} for day in range(1, 32) for name in ("created", "deleted")}
    months = {f"{last - timedelta(n):%Y-%m}" for n in range(366)}
    items: list[Any] = [
        {"key": {"S": f"stats#{row}#{shard}"}} | (days if row != "total" else {"created": {"N": str(counted)}})
        for row in (*months, "total")
        for shard in range(shards)
    ]
    assert max(map(item_bytes, items)) < 1024, "a month costs one write unit"
    write(local_client, local_tables[1], items if counted else [])
    for span, months_read in ((1, 1), (30, 2), (366, 13)):
        with Meter.on(local_client) as meter:
            stats = stats_between(last - timedelta(span - 1), last)
        assert stats.created == counted * shards
        assert [day.created for day in stats.days] == ([counted * shards] * span if counted else [])
        expected = queries.stats(months_read, shards)
        assert meter.requests == ["BatchGetItem"] * expected.requests
        # The control item is not there, and DynamoDB Local takes nothing for what is not there; AWS does.
        assert meter.capacity == (expected.read_units - 1 if counted else 1)


def write(client: DynamoDBClient, table: str, items: Sequence[Any]) -> None:
    """Write many items, as fast as it goes."""

    def some(part: Sequence[Any]) -> None:
        answer = client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in part]})
        assert not answer["UnprocessedItems"]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(some, batched(items, 25, strict=False)))
