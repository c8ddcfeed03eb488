"""Reading a stream over a split: a parent to its end before its children, and no request that brings nothing new."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from eventfold.testing.shards import StreamReader


class Streams:
    """A stream's shards: the records of each, and whether it is closed."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {"a": None}
        self.records: dict[str, list[str]] = {"a": ["1", "2"]}
        self.closed: set[str] = set()
        self.requests: Counter[str] = Counter()

    def split(self, parent: str, *children: str) -> None:
        self.closed.add(parent)
        # Children first: AWS promises no order.
        self.parents = {**dict.fromkeys(children, parent), **self.parents}
        self.records |= {child: [] for child in children}

    def describe_stream(self, **_: Any) -> Any:
        self.requests["describe"] += 1
        shards = [{"ShardId": id_} | ({"ParentShardId": of} if of else {}) for id_, of in self.parents.items()]
        return {"StreamDescription": {"Shards": shards}}

    def get_shard_iterator(self, ShardId: str, **_: Any) -> Any:  # noqa: N803 - AWS's name
        return {"ShardIterator": f"{ShardId}/0"}

    def get_records(self, ShardIterator: str) -> Any:  # noqa: N803 - AWS's name
        self.requests["get"] += 1
        shard, _, place = ShardIterator.partition("/")
        left = self.records[shard][int(place) :]
        at = datetime(2026, 1, 1, tzinfo=UTC)
        records = [{"dynamodb": {"SequenceNumber": one, "ApproximateCreationDateTime": at}} for one in left]
        following = {} if shard in self.closed else {"NextShardIterator": f"{shard}/{len(self.records[shard])}"}
        return {"Records": records} | following


def read(reader: StreamReader) -> list[tuple[str, str]]:
    return [(shard, record["dynamodb"]["SequenceNumber"]) for shard, record in reader()]


def test_a_parent_is_read_to_its_end_before_its_children_in_one_go() -> None:
    streams: Any = Streams()
    reader = StreamReader(streams, "arn")
    assert read(reader) == [("a", "1"), ("a", "2")]
    streams.records["a"].append("3")
    streams.split("a", "b", "c")
    streams.records |= {"b": ["4"], "c": ["5"]}
    assert read(reader) == [("a", "3"), ("b", "4"), ("c", "5")]
    streams.split("b", "d")
    streams.records["d"].append("6")
    assert read(reader) == [("d", "6")]


def test_a_child_whose_parent_was_trimmed_is_read() -> None:
    streams: Any = Streams()
    streams.parents = {"a": "long ago"}
    assert read(StreamReader(streams, "arn")) == [("a", "1"), ("a", "2")]


def test_nothing_new_is_one_request() -> None:
    streams: Any = Streams()
    reader = StreamReader(streams, "arn")
    read(reader)
    streams.requests.clear()
    assert read(reader) == []
    assert streams.requests == {"get": 1}
