"""Lists laid out in ranges: cut evenly, read as if they were whole, and never laid out anew."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb import ranges
from eventfold.dynamodb.keys import DynamoDBKeyListing
from eventfold.dynamodb.ranges import SAMPLES, ListRanges, cut, ranges_key
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.sweeping import DynamoDBSweeper
from eventfold.memory import MemoryRowStore
from eventfold.read_models.projections import Row
from tests.conftest import READ_MODELS_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.read_models.projections import RowStore

TEXT = st.text("\0ab~\x7fé\uffff\U0001f600\U0010ffff", min_size=1, max_size=4)

# Cutting --------------------------------------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(TEXT, min_size=2 * SAMPLES, max_size=300), st.integers(1, 9))
def test_a_sample_is_cut_into_even_ranges_by_borders_no_longer_than_they_must_be(sorts: set[str], most: int) -> None:
    sample = sorted(sorts)
    borders = cut(sample, most)
    assert borders == sorted(set(borders))
    wanted = min(most, len(sample) // SAMPLES)
    assert len(borders) == wanted - 1
    inner = [sum(border <= sort for sort in sample) for border in reversed(borders)]
    sizes = [after - before for before, after in pairwise([0, *inner, len(sample)])]
    assert max(sizes) - min(sizes) <= 1
    for border in borders:
        before = max(sort for sort in sample if sort < border)
        assert border[:-1] <= before < border


@pytest.mark.parametrize(("rows", "ranges"), [(0, 1), (1, 1), (2 * SAMPLES - 1, 1), (2 * SAMPLES, 2), (10_000, 16)])
def test_a_small_list_is_cut_into_fewer_ranges(rows: int, ranges: int) -> None:
    assert len(cut([f"{n:05}" for n in range(rows)], 16)) == ranges - 1


def test_equal_sort_keys_stay_in_one_range() -> None:
    assert cut(["same"] * 1_000, 16) == []
    assert cut(["a"] * 320 + ["b"] * 320, 10) == ["b"]


def test_borders_that_do_not_fit_in_an_item_are_thinned_out() -> None:
    long = [f"{'x' * 900}{n:05}" for n in range(1_000 * SAMPLES)]
    borders = cut(long, 1_000)
    assert len(borders) == 249
    assert sum(map(len, borders)) <= ranges._MAX_BYTES


class Index:
    """A client's table and its index `by_sort` in memory; the index may be at another moment than the table."""

    def __init__(self, *entries: tuple[str, int, str], borders: Sequence[str] = (), throttled: str = "") -> None:
        self.asked: list[str] = []
        self._table: dict[str, Any] = {}
        self._throttled = throttled
        store = DynamoDBRowStore(self, "t")  # type: ignore[arg-type] # as much of a client as it needs
        store.lay_out("p", borders)
        for stream, version, sort in entries:
            store.put("p", Row(stream, version, "{}", sort), replaces=0)
            self._table[f"{stream}/{version}"] = self._table.pop(f"p#{stream}")

    def put_item(self, **put: Any) -> None:
        self._table[put["Item"]["key"]["S"]] = put["Item"]

    def batch_get_item(self, **get: Any) -> Any:
        (wanted,) = get["RequestItems"].values()
        keys = [key["key"]["S"] for key in wanted["Keys"]]
        return {"Responses": {"t": [self._table[key] for key in keys if key in self._table]}}

    def query(self, **asked: Any) -> Any:
        shard, low, high = (asked["ExpressionAttributeValues"][name]["S"] for name in (":shard", ":low", ":high"))
        self.asked.append(shard)
        if shard == self._throttled:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "Query")
        listed = [item for item in self._table.values() if item.get("shard") == {"S": shard}]
        inside = sorted((one for one in listed if low <= one["sort"]["S"] <= high), key=lambda one: one["sort"]["S"])
        start = asked.get("ExclusiveStartKey", 0)
        found = inside[start : start + asked["Limit"]]
        more = {"LastEvaluatedKey": start + len(found)} if len(found) == asked["Limit"] else {}
        return {"Items": found} | more


# Reading --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def finely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small lists as large ones are."""
    monkeypatch.setattr(ranges, "SAMPLES", 1)


def pages(store: RowStore, prefix: str, limit: int) -> Iterator[list[Row]]:
    """Read a list page by page, as its readers do."""
    after: str | None = None
    while page := store.listed("p", prefix=prefix, after=after, limit=limit):
        yield page
        after = page[-1].sort


@pytest.mark.usefixtures("finely")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it sets the same for all
@given(
    sorts=st.lists(TEXT, max_size=12, unique=True),
    sample=st.sets(TEXT, max_size=8),
    removed=st.sets(st.integers(0, 11)),
    prefix=TEXT | st.just(""),
    limit=st.integers(1, 13),
)
def test_a_list_in_ranges_reads_as_a_list_in_one(
    sorts: list[str], sample: set[str], removed: set[int], prefix: str, limit: int
) -> None:
    memory = MemoryRowStore()
    store = DynamoDBRowStore(Index(borders=sorted(sample)), "t")  # type: ignore[arg-type] # as above
    for rows in (memory, store):
        for n, sort in enumerate(sorts):
            rows.put("p", Row(f"thing-{n}", 1, "{}", sort), replaces=0)
        for n in removed & set(range(len(sorts))):
            rows.put("p", Row(f"thing-{n}", 2, None), replaces=1)
    assert list(pages(store, prefix, limit)) == list(pages(memory, prefix, limit))
    for place in (*sorts, *sample):  # A cursor on a border, and one of a row that is gone.
        for one in (*sorts, prefix):
            assert store.listed("p", prefix=one, after=place, limit=limit) == memory.listed(
                "p", prefix=one, after=place, limit=limit
            )
    streams = [f"thing-{n}" for n in range(len(sorts))]
    assert store.get("p", streams) == memory.get("p", streams)


@pytest.mark.usefixtures("finely")
def test_a_list_is_laid_out_once_whoever_comes_later(moto_client: DynamoDBClient) -> None:
    one, other = (DynamoDBRowStore(moto_client, READ_MODELS_TABLE) for _ in range(2))
    one.lay_out("p.2", ["b", "d"])
    other.lay_out("p.2", ["a", "c", "e"])
    found = [ListRanges(moto_client, READ_MODELS_TABLE).of("p.2", sort) for sort in "abcde"]
    assert found == ["p.2#0", "p.2#0", "p.2#0", "p.2#1", "p.2#1"]
    for n, store in enumerate((one, other, one, other)):
        store.put("p.2", Row(f"thing-{n}", 1, "{}", "abcde"[n]), replaces=0)
    assert [row.sort for row in other.listed("p.2", prefix="", after=None, limit=9)] == ["a", "b", "c", "d"]


@pytest.mark.usefixtures("finely")
def test_ranges_are_no_row_and_go_with_their_generation(moto_client: DynamoDBClient) -> None:
    store = DynamoDBRowStore(moto_client, READ_MODELS_TABLE)
    for name in ("p.2", "p.3"):
        store.lay_out(name, "ab")
        store.put(name, Row("thing-1", 1, "{}", "a"), replaces=0)
    listing = DynamoDBKeyListing(moto_client, READ_MODELS_TABLE, [])
    assert {key.kind for page in listing.keys(0, 1) for key in page} == {"row"}
    assert list(DynamoDBSweeper(moto_client, READ_MODELS_TABLE).sweep("p.2")) == [1]
    left = {item["key"]["S"] for item in moto_client.scan(TableName=READ_MODELS_TABLE)["Items"]}
    assert left == {"p.3#thing-1", ranges_key("p.3")}


def listed(index: Any, prefix: str = "", limit: int = 9) -> list[tuple[str, int]]:
    """Return what a list shows by an index: streams and versions."""
    rows = DynamoDBRowStore(index, "t").listed("p", prefix=prefix, after=None, limit=limit)
    return [(row.stream, row.version) for row in rows]


@pytest.mark.usefixtures("finely")
def test_a_page_asks_only_for_the_ranges_it_lies_in() -> None:
    index = Index(("x-1", 1, "a1"), ("x-2", 1, "a2"), ("x-3", 1, "b1"), ("x-4", 1, "c1"), borders="abc")
    for prefix, limit, asked in (
        ("", 2, "0"),
        ("", 3, "01"),
        ("", 4, "012"),
        ("", 9, "012"),
        ("b", 9, "1"),
        ("d", 9, "2"),
    ):
        index.asked.clear()
        listed(index, prefix, limit)
        assert index.asked == [f"p#{n}" for n in asked], (prefix, limit)


@pytest.mark.usefixtures("finely")
def test_a_row_that_is_renamed_while_a_page_is_read_is_listed_once_as_it_was_last_seen() -> None:
    later = Index(("x-1", 1, "a1"), ("x-2", 1, "a2"), ("x-1", 2, "c1"), ("x-9", 1, "c2"), borders="abc")
    assert listed(later) == [("x-2", 1), ("x-1", 2), ("x-9", 1)]
    assert listed(later, limit=2) == [("x-1", 1), ("x-2", 1)], "the page ends before where it went"
    assert listed(later, limit=3) == [("x-2", 1), ("x-1", 2), ("x-9", 1)], "and is filled"
    sooner = Index(("x-1", 2, "a1"), ("x-1", 1, "c1"), ("x-9", 1, "c2"), borders="abc")
    assert listed(sooner) == [("x-1", 2), ("x-9", 1)]


@pytest.mark.usefixtures("finely")
def test_a_throttled_range_fails_the_pages_that_lie_in_it_and_no_other() -> None:
    index = Index(("x-1", 1, "a1"), ("x-2", 1, "b1"), borders="abc", throttled="p#1")
    assert listed(index, limit=1) == listed(index, prefix="a") == [("x-1", 1)]
    assert listed(index, prefix="c") == []
    with pytest.raises(StoreUnavailableError):
        listed(index)
