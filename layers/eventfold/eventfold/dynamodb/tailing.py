"""Following the event table's stream as it is written, beside the functions that it wakes.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html: a shard takes two readers; a third may be
throttled, and throttle them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.dynamodb.streams import read_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.literals import ShardIteratorTypeType

    from eventfold.core.commit import Commit

_LIMIT = 1000
_LIST_EVERY = 10
"""Polls between two looks at the list of shards: one that follows another may be listed later than that ends."""
_AGAIN = {"ExpiredIteratorException", "TrimmedDataAccessException"}


@dataclass(slots=True)
class _Shard:
    """Where one shard is read: the next iterator, and the last record's number, to get another from."""

    iterator: str | None
    last: str | None = None


class StreamTail:
    """Reads what is committed from now on, in all shards and in those that follow them."""

    def __init__(self, client: DynamoDBStreamsClient, stream_arn: str) -> None:
        self._client = client
        self._arn = stream_arn
        self._polls = 0
        self._shards: dict[str, _Shard] = {}
        for shard, closed in self._listed():
            self._shards[shard] = _Shard(None if closed else self._iterator(shard, "LATEST"))

    def poll(self) -> list[Commit]:
        """Return what has come since the last call, in order within each stream. One request for each open shard.

        Raises:
            StoreUnavailableError: out of reach.
        """
        found: list[Commit] = []
        ended = False
        for name, shard in list(self._shards.items()):
            if shard.iterator is not None:
                found += read_batch(self._records(name, shard)).commits
                ended |= shard.iterator is None
        self._polls += 1
        if ended or self._polls % _LIST_EVERY == 0 or not any(shard.iterator for shard in self._shards.values()):
            self._follow()
        return found

    def _follow(self) -> None:
        """Begin with the shards that have come, from their first record; forget those that are gone."""
        there = dict(self._listed())
        for name in there.keys() - self._shards.keys():
            self._shards[name] = _Shard(self._iterator(name, "TRIM_HORIZON"))
        for name in self._shards.keys() - there.keys():
            del self._shards[name]

    def _records(self, name: str, shard: _Shard) -> Sequence[Mapping[str, Any]]:
        try:
            with passing_errors_named():
                answer = self._client.get_records(ShardIterator=shard.iterator or "", Limit=_LIMIT)
        except StoreUnavailableError as error:
            if error.reason not in {"ProvisionedThroughputExceededException", "LimitExceededException"}:
                raise
            return []  # The functions go first.
        except ClientError as error:
            if code_of(error) not in _AGAIN:
                raise
            trimmed = code_of(error) == "TrimmedDataAccessException" or shard.last is None
            kind: ShardIteratorTypeType = "TRIM_HORIZON" if trimmed else "AFTER_SEQUENCE_NUMBER"
            shard.iterator = self._iterator(name, kind, None if trimmed else shard.last)
            return []
        shard.iterator = answer.get("NextShardIterator")
        records: list[Any] = list(answer["Records"])
        if records:
            shard.last = records[-1]["dynamodb"]["SequenceNumber"]
        return records

    def _iterator(self, shard: str, kind: ShardIteratorTypeType, after: str | None = None) -> str:
        more: Any = {"SequenceNumber": after} if after else {}
        with passing_errors_named():
            answer = self._client.get_shard_iterator(StreamArn=self._arn, ShardId=shard, ShardIteratorType=kind, **more)
        return answer["ShardIterator"]

    def _listed(self) -> Iterator[tuple[str, bool]]:
        """Yield every shard, and whether it is closed."""
        start: Any = {}
        while True:
            with passing_errors_named():
                page = self._client.describe_stream(StreamArn=self._arn, **start)["StreamDescription"]
            for shard in page["Shards"]:
                yield shard["ShardId"], "EndingSequenceNumber" in shard.get("SequenceNumberRange", {})
            if "LastEvaluatedShardId" not in page:
                return
            start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
