"""Following the stream of an event table, on DynamoDB Local; what it can't show, on a stand-in."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from eventfold import Commit, Head
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.items import commit_to_item
from eventfold.dynamodb.tailing import StreamTail
from eventfold.testing.shards import stream_arn
from tests.domain import COUNTER, Added

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AT = datetime(2026, 1, 1, tzinfo=UTC)


def commit(version: int, size: int = 0) -> Commit:
    events = (COUNTER.codec.encode(Added(amount=version)),) * (size or 1)
    return Commit("counter-1", version, events, f"c{version}", AT)


@pytest.mark.dynamodb_local
def test_what_comes_is_shown_once_and_in_order(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    store = DynamoDBEventStore(local_client, local_tables[0])
    store.append(commit(1), after=Head("counter-1", 0))
    tail = StreamTail(boto3.client("dynamodbstreams"), stream_arn(local_client, local_tables[0]))
    assert tail.poll() == []
    for version in range(2, 30):
        store.append(commit(version), after=Head("counter-1", version - 1))
    found: list[Commit] = []
    for _ in range(20):
        found += tail.poll()
        time.sleep(0.05)
    assert found == [commit(version) for version in range(2, 30)]


class Streams:
    """A stream of shards whose records a test gives. An iterator is `shard/position/age`; only the newest age works."""

    def __init__(self, **shards: list[Commit]) -> None:
        self.shards = shards
        self.closed: set[str] = set()
        self.refuse: list[str] = []

    def describe_stream(self, **_: Any) -> Any:
        ends = {name: {"EndingSequenceNumber": "9"} if name in self.closed else {} for name in self.shards}
        return {"StreamDescription": {"Shards": [{"ShardId": n, "SequenceNumberRange": ends[n]} for n in self.shards]}}

    def get_shard_iterator(self, *, ShardId: str, ShardIteratorType: str, **more: Any) -> Any:  # noqa: N803
        position = {"LATEST": len(self.shards[ShardId]), "TRIM_HORIZON": 0}.get(ShardIteratorType)
        return {"ShardIterator": f"{ShardId}/{int(more['SequenceNumber']) if position is None else position}"}

    def get_records(self, *, ShardIterator: str, **_: Any) -> Any:  # noqa: N803
        if self.refuse:
            raise ClientError({"Error": {"Code": self.refuse.pop(), "Message": ""}}, "GetRecords")
        name, at = ShardIterator.split("/")
        records = [
            {"dynamodb": {"SequenceNumber": str(n), "NewImage": commit_to_item(one)}}
            for n, one in enumerate(self.shards[name][int(at) :], start=int(at) + 1)
        ]
        following = {} if name in self.closed else {"NextShardIterator": f"{name}/{len(self.shards[name])}"}
        return {"Records": records, **following}


def tail_of(streams: Streams) -> StreamTail:
    return StreamTail(streams, "arn")  # type: ignore[arg-type] # a stand-in


def test_a_shard_that_follows_another_is_read_from_its_first_record() -> None:
    streams = Streams(a=[commit(1)])
    tail = tail_of(streams)
    streams.shards["a"].append(commit(2))
    assert tail.poll() == [commit(2)]
    streams.closed.add("a")
    streams.shards["a"].append(commit(3))
    streams.shards["b"] = [commit(4)]
    assert tail.poll() == [commit(3)]
    assert tail.poll() == [commit(4)]
    del streams.shards["a"]
    streams.shards["c"] = [commit(5)]
    found = [one for _ in range(12) for one in tail.poll()]
    assert found == [commit(5)]


def test_a_shard_that_was_closed_before_is_passed_over() -> None:
    streams = Streams(a=[commit(1)], b=[])
    streams.closed.add("a")
    assert tail_of(streams).poll() == []


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("ExpiredIteratorException", [commit(3)]),
        ("TrimmedDataAccessException", [commit(1), commit(2), commit(3)]),
        ("ProvisionedThroughputExceededException", [commit(3)]),
        ("LimitExceededException", [commit(3)]),
    ],
)
def test_an_iterator_that_is_refused_is_replaced(code: str, again: list[Commit]) -> None:
    streams = Streams(a=[commit(1)])
    tail = tail_of(streams)
    streams.shards["a"].append(commit(2))
    assert tail.poll() == [commit(2)]
    streams.shards["a"].append(commit(3))
    streams.refuse.append(code)
    assert tail.poll() == []
    assert tail.poll() == again


def test_what_may_not_be_read_is_raised() -> None:
    streams = Streams(a=[])
    tail = tail_of(streams)
    streams.refuse.append("AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        tail.poll()
