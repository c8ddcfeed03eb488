"""Filling a table with streams that are copies of one: quicker than 20,000 appends by each peer."""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from benchmarks.runners import Worker

BATCH = 25
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""


def clone(store: DynamoDBClient, worker: Worker, stream: str, others: Iterable[str]) -> None:
    """Write a stream's items again under other streams' keys."""
    table, name, key = worker.call("place", stream)
    items = list(_items(store, table, name, key))
    keys = [worker.call("place", other)[2] for other in others]
    copies = (item | {name: {"S": one}} for one in keys for item in items)
    for batch in batched(copies, BATCH, strict=False):
        write_all(store, table, batch)


def write_all(store: DynamoDBClient, table: str, some: Iterable[Mapping[str, Any]]) -> None:
    """Write `BATCH` items at the most."""
    unwritten: dict[str, Any] = {table: [{"PutRequest": {"Item": item}} for item in some]}
    while unwritten:
        unwritten = store.batch_write_item(RequestItems=unwritten)["UnprocessedItems"]


def _items(store: DynamoDBClient, table: str, name: str, key: str) -> Iterator[dict[str, Any]]:
    for page in store.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="#name = :key",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":key": {"S": key}},
    ):
        yield from page["Items"]
