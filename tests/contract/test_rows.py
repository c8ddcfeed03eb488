"""One contract for every row store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventfold.dynamodb.keys import DynamoDBKeyListing
from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.memory import MemoryRowStore
from eventfold.operations.verify.keys import StoredKey
from eventfold.read_models.projections import Row, RowConflictError
from eventfold.read_models.tallies import Checkpoint
from tests.conftest import READ_MODELS_TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.read_models.projections import RowStore


def listed(rows: RowStore, prefix: str = "", after: str | None = None, limit: int = 100) -> list[str | None]:
    """Return the sort keys of a list."""
    return [row.sort for row in rows.listed("p", prefix=prefix, after=after, limit=limit)]


class RowStoreContract:
    @pytest.fixture
    def rows(self) -> RowStore:
        raise NotImplementedError

    def test_a_row_comes_back_as_it_was(self, rows: RowStore) -> None:
        row = Row("thing-1", 3, '{"a": "é"}', "é\0thing-1")
        rows.put("p", row, replaces=0)
        assert rows.get("p", ["thing-1", "thing-2"]) == {"thing-1": row}
        assert rows.get("q", ["thing-1"]) == {}
        assert rows.get("p", []) == {}

    def test_a_row_is_written_only_over_the_version_it_was_made_from(self, rows: RowStore) -> None:
        rows.put("p", Row("thing-1", 3, "{}"), replaces=0)
        for replaces in (0, 2, 4):
            with pytest.raises(RowConflictError):
                rows.put("p", Row("thing-1", 9, "{}"), replaces=replaces)
        with pytest.raises(RowConflictError):
            rows.put("p", Row("thing-2", 9, "{}"), replaces=1)
        rows.put("p", Row("thing-1", 5, None), replaces=3)
        assert rows.get("p", ["thing-1"]) == {"thing-1": Row("thing-1", 5, None)}

    def test_more_rows_than_one_request_takes_are_all_read(self, rows: RowStore) -> None:
        streams = [f"thing-{n}" for n in range(230)]
        for stream in streams:
            rows.put("p", Row(stream, 1, "{}"), replaces=0)
        assert rows.get("p", streams).keys() == set(streams)

    def test_a_list_is_in_order_and_pages_join_without_loss(self, rows: RowStore) -> None:
        names = ["a", "ab", "abc", "b", "z", "é", "日本", "\U0001f600", "ab\0x"]
        for n, name in enumerate(names):
            rows.put("p", Row(f"thing-{n}", 1, "{}", f"{name}\0thing-{n}"), replaces=0)
        rows.put("q", Row("thing-1", 1, "{}", "aaa"), replaces=0)
        whole = sorted(f"{name}\0thing-{n}" for n, name in enumerate(names))
        assert listed(rows) == whole
        paged: list[str | None] = []
        while page := listed(rows, after=paged[-1] if paged else None, limit=2):
            paged += page
        assert paged == whole
        assert listed(rows, prefix="ab") == [sort for sort in whole if sort.startswith("ab")]
        assert listed(rows, prefix="ab", after="ab\0thing-1") == ["ab\0x\0thing-8", "abc\0thing-2"]
        assert listed(rows, prefix="zz") == []

    def test_a_list_holds_at_the_edges_of_what_a_key_can_be(self, rows: RowStore) -> None:
        rows.put("p", Row("thing-1", 1, "{}", "\U0010ffffz"), replaces=0)
        assert listed(rows) == listed(rows, prefix="\U0010ffff") == ["\U0010ffffz"]
        assert listed(rows, after="\U0010ffff" * 201) == []

    def test_a_list_holds_at_the_longest_keys_there_can_be(self, rows: RowStore) -> None:
        ends = {"\U0010ffff": [""], "a": ["zzz", "\u07ffz", "\uffff"], "ab": ["zz", "\u07ff"], "abc": ["z", "\x7f"]}
        longest = [f"{first}{'\U0010ffff' * 255}{last}" for first, lasts in ends.items() for last in lasts]
        assert {len(sort.encode()) for sort in longest} == {1024}
        for n, sort in enumerate(longest):
            rows.put("p", Row(f"thing-{n}", 1, "{}", sort), replaces=0)
        assert listed(rows) == listed(rows, limit=1) + listed(rows, after=min(longest)) == sorted(longest)
        for sort in longest:
            assert listed(rows, prefix=sort) == [sort]
            assert listed(rows, prefix=sort[:-1]) == [one for one in sorted(longest) if one.startswith(sort[:-1])]
            assert listed(rows, after=sort) == [one for one in sorted(longest) if one > sort]
            assert listed(rows, prefix=sort + "a") == listed(rows, prefix=sort, after=sort) == []

    def test_a_row_leaves_the_list_when_it_is_renamed_or_removed(self, rows: RowStore) -> None:
        rows.put("p", Row("thing-1", 1, "{}", "a"), replaces=0)
        rows.put("p", Row("thing-1", 2, "{}", "b"), replaces=1)
        assert listed(rows) == ["b"]
        rows.put("p", Row("thing-1", 3, None), replaces=2)
        assert listed(rows) == []


class TestMemory(RowStoreContract):
    @pytest.fixture
    def rows(self) -> RowStore:
        return MemoryRowStore()


class TestMoto(RowStoreContract):
    @pytest.fixture
    def rows(self, moto_client: DynamoDBClient) -> RowStore:
        return DynamoDBRowStore(moto_client, READ_MODELS_TABLE)


@pytest.mark.dynamodb_local
class TestDynamoDBLocal(RowStoreContract):
    @pytest.fixture
    def rows(self, local_client: DynamoDBClient, local_tables: tuple[str, str]) -> RowStore:
        return DynamoDBRowStore(local_client, local_tables[1])


@pytest.mark.dynamodb_local
class TestDynamoDBLocalInRanges(RowStoreContract):
    @pytest.fixture
    def rows(
        self, local_client: DynamoDBClient, local_tables: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> RowStore:
        monkeypatch.setattr("eventfold.dynamodb.ranges.SAMPLES", 1)
        rows = DynamoDBRowStore(local_client, local_tables[1])
        rows.lay_out("p", ["a", "ab", "abd", "b", "é", "日本", "\U0001f601", "\U0010ffff"])
        return rows


def test_keys_are_listed_whatever_is_in_them(moto_client: DynamoDBClient) -> None:
    rows = DynamoDBRowStore(moto_client, READ_MODELS_TABLE)
    tallies = DynamoDBTallyStore(moto_client, READ_MODELS_TABLE)
    stream = "thing-a#b@c!d\ne"
    rows.put("p", Row(stream, 1, "{}"), replaces=0)
    rows.put("p.2", Row(stream, 1, "{}"), replaces=0)
    tallies.add("t", {"a#b": {"n": 1}}, {Checkpoint(stream, 1): None})
    tallies.add("t.2", {"day": {"n": 1}}, {Checkpoint(stream, 1, 7): None})
    DynamoDBRebuildStore(moto_client, READ_MODELS_TABLE).hold("p", "me", 1)
    listing = DynamoDBKeyListing(moto_client, READ_MODELS_TABLE, ["t"])
    assert sorted(key for page in listing.keys(0, 1) for key in page) == [
        StoredKey("p", "row", stream, 1),
        StoredKey("p.2", "row", stream, 1),
        StoredKey("t", "checkpoint", stream, 1),
        StoredKey("t", "counter", "a#b"),
        StoredKey("t.2", "checkpoint", stream, 1, 7),
        StoredKey("t.2", "counter", "day"),
    ]
