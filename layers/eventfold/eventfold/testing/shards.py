"""A DynamoDB stream, read from its start: shard by shard, in order, every record once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.client import code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

type Record = dict[str, Any]
"""A stream record as Lambda hands it to a function."""


def stream_arn(client: DynamoDBClient, table: str) -> str:
    """Return the ARN of a table's stream."""
    return client.describe_table(TableName=table)["Table"]["LatestStreamArn"]


class StreamReader:
    """Reads a stream from TRIM_HORIZON on; call it again for what has come since.

    A child shard is read after its parent, so that an item's records stay in order over a split:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    """

    def __init__(self, client: DynamoDBStreamsClient, arn: str) -> None:
        self._client = client
        self._arn = arn
        self._parents: dict[str, str] = {}
        self._iterators: dict[str, str | None] = {}

    def __call__(self) -> Iterator[tuple[str, Record]]:
        """Yield the records that are new, each with the id of its shard. One request a shard that has none."""
        self._parents = self._parents or self._list_shards()
        read_on = True
        while read_on:
            read_on = False
            for id_ in self._parents:
                if self._ended(id_) or not self._ended(self._parents[id_]):
                    continue
                yield from ((id_, record) for record in self._records(id_))
                read_on |= self._ended(id_)
            if read_on:  # New shards are the children of one that has ended.
                self._parents = self._list_shards()

    def _ended(self, shard: str) -> bool:
        """Whether a shard has been read to its end; one that the stream no longer names has."""
        return self._iterators.get(shard, "") is None or shard not in self._parents

    def _list_shards(self) -> dict[str, str]:
        """Return the shards, each with its parent."""
        start: dict[str, str] = {}
        parents: dict[str, str] = {}
        while True:
            described = self._client.describe_stream(StreamArn=self._arn, **start)["StreamDescription"]  # type: ignore[arg-type] # one name of several
            parents |= {shard["ShardId"]: shard.get("ParentShardId", "") for shard in described["Shards"]}
            if not (last := described.get("LastEvaluatedShardId")):
                return parents
            start = {"ExclusiveStartShardId": last}

    def _records(self, shard: str) -> Iterator[Record]:
        if shard not in self._iterators:
            self._iterators[shard] = self._oldest(shard)
        while (iterator := self._iterators[shard]) is not None:
            try:
                answer = self._client.get_records(ShardIterator=iterator)
            except ClientError as error:
                # DynamoDB Local also says so where the shard was empty, and the first write to its table was refused.
                if code_of(error) != "TrimmedDataAccessException" or iterator == (oldest := self._oldest(shard)):
                    raise
                self._iterators[shard] = oldest
                continue
            self._iterators[shard] = answer.get("NextShardIterator")
            for record in answer["Records"]:
                yield self._as_lambda_has_it(dict(record))
            if not answer["Records"]:
                return

    def _oldest(self, shard: str) -> str:
        return self._client.get_shard_iterator(StreamArn=self._arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]

    def _as_lambda_has_it(self, record: Record) -> Record:
        change = dict(record["dynamodb"])
        change["ApproximateCreationDateTime"] = change["ApproximateCreationDateTime"].timestamp()
        return record | {"dynamodb": change, "eventSourceARN": self._arn}
