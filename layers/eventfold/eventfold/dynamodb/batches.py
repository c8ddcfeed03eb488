"""Reading many items by key: batches of 100, and what DynamoDB leaves undone asked for again."""

from __future__ import annotations

import random
import time
from itertools import batched
from typing import TYPE_CHECKING, Any

from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.client import passing_errors_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

MAX_BATCH_GET = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_ROUNDS = 6


def get_items(client: DynamoDBClient, table: str, keys: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the items that exist under these `key`s, read consistently. One request for each 100.

    Raises:
        StoreUnavailableError: throttled, after backing off as DynamoDB asks for.
    """
    return get_by_keys(client, table, ({"key": {"S": key}} for key in keys))


def get_by_keys(
    client: DynamoDBClient, table: str, keys: Iterable[Mapping[str, Any]], only: Sequence[str] = ()
) -> Iterator[Mapping[str, Any]]:
    """Yield the items that exist under these whole keys, as `get_items` does; of `only` some attributes, if told."""
    names = {f"#{name}": name for name in only}
    part = {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names} if only else {}
    for some in batched(keys, MAX_BATCH_GET, strict=False):
        wanted: Any = list(some)
        for attempt in range(_ROUNDS):
            request: Any = {table: {"Keys": wanted, "ConsistentRead": True, **part}}
            with passing_errors_named():
                answer = client.batch_get_item(RequestItems=request)
            yield from answer["Responses"].get(table, [])
            left = answer.get("UnprocessedKeys", {}).get(table)
            wanted = left["Keys"] if left else None
            if not wanted:
                break
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
        else:
            raise StoreUnavailableError("BatchGetItem left keys unprocessed")
