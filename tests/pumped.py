"""What tests of the stream pump share: a table with a stream, and a function that does as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3

from eventfold.testing.pump import Disorder, InvocationContext, StreamPump
from eventfold.testing.shards import StreamReader, stream_arn

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from eventfold.testing.mapping import EventSourceMapping
    from eventfold.testing.shards import Record


class Stage:
    """A table with a stream, and a function that notes its batches and does as it is told."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self.client = client
        self.table = table
        self.batches: list[list[int]] = []
        self.bad: Callable[[list[int]], object] = lambda _: None

    def put(self, *versions: int, stream: str = "thing-1", **more: Any) -> None:
        for version in versions:
            key: dict[str, Any] = {"stream": {"S": stream}, "version": {"N": str(version)}}
            self.client.put_item(TableName=self.table, Item=key | more)

    def reader(self) -> StreamReader:
        streams: DynamoDBStreamsClient = boto3.client("dynamodbstreams")
        return StreamReader(streams, stream_arn(self.client, self.table))

    def pump(self, mapping: EventSourceMapping, disorder: Disorder | None = None, **more: Any) -> StreamPump:
        return StreamPump(mapping, self.reader(), self.function, disorder=disorder, **more)

    def function(self, event: dict[str, Any], context: object) -> object:
        assert isinstance(context, InvocationContext)
        self.records = event["Records"]
        versions = [version_of(record) for record in self.records]
        self.batches.append(versions)
        return self.bad(versions)

    def report(self, *bad: int) -> Callable[[list[int]], object]:
        """Answer with the sequence numbers of these versions, where they are in the batch."""

        def answer(_: list[int]) -> object:
            numbers = [r["dynamodb"]["SequenceNumber"] for r in self.records if version_of(r) in bad]
            return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}

        return answer


def version_of(record: Record) -> int:
    return int(record["dynamodb"]["Keys"]["version"]["N"])


def failing(*bad: int) -> Callable[[list[int]], object]:
    """Raise where one of these versions is in the batch."""

    def function(versions: list[int]) -> object:
        if set(bad) & set(versions):
            raise ZeroDivisionError
        return None

    return function


def given_up(pump: StreamPump) -> list[tuple[str, list[int], int]]:
    return [(one.condition, list(map(version_of, one.records)), one.invocations) for one in pump.given_up]
