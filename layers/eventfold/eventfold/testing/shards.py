"""A DynamoDB stream, read from its start: shard by shard, in order, every record once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.type_defs import ShardTypeDef

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
        self._iterators: dict[str, str | None] = {}

    def __call__(self) -> Iterator[tuple[str, Record]]:
        """Yield the records that are new, each with the id of its shard."""
        for shard in self._shards():
            id_ = shard["ShardId"]
            if self._iterators.get(shard.get("ParentShardId", "")) is not None:
                continue  # Its parent is still open.
            if id_ not in self._iterators:
                self._iterators[id_] = self._client.get_shard_iterator(
                    StreamArn=self._arn, ShardId=id_, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
            yield from ((id_, record) for record in self._records(id_))

    def _shards(self) -> Iterator[ShardTypeDef]:
        start: dict[str, str] = {}
        while True:
            described = self._client.describe_stream(StreamArn=self._arn, **start)["StreamDescription"]  # type: ignore[arg-type] # one name of several
            yield from described["Shards"]
            if not (last := described.get("LastEvaluatedShardId")):
                return
            start = {"ExclusiveStartShardId": last}

    def _records(self, shard: str) -> Iterator[Record]:
        while (iterator := self._iterators[shard]) is not None:
            answer = self._client.get_records(ShardIterator=iterator)
            self._iterators[shard] = answer.get("NextShardIterator")
            for record in answer["Records"]:
                yield self._as_lambda_has_it(dict(record))
            if not answer["Records"]:
                return

    def _as_lambda_has_it(self, record: Record) -> Record:
        change = dict(record["dynamodb"])
        change["ApproximateCreationDateTime"] = change["ApproximateCreationDateTime"].timestamp()
        return record | {"dynamodb": change, "eventSourceARN": self._arn}
