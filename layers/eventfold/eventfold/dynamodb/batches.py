"""Reading many items by key: batches of 100, and what DynamoDB leaves undone asked for again."""

from __future__ import annotations

import random
import time
from itertools import batched
from typing import TYPE_CHECKING, Any

from eventfold.dynamodb.client import passing_errors_named
from eventfold.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

MAX_BATCH_GET = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_ROUNDS = 6


def get_items(client: DynamoDBClient, table: str, keys: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the items that exist under these `key`s, read consistently. One request for each 100.

    Raises:
        StoreUnavailableError: throttled, after backing off as DynamoDB asks for.
    """
    for some in batched(keys, MAX_BATCH_GET, strict=False):
        wanted: Any = [{"key": {"S": key}} for key in some]
        for attempt in range(_ROUNDS):
            with passing_errors_named():
                answer = client.batch_get_item(RequestItems={table: {"Keys": wanted, "ConsistentRead": True}})
            yield from answer["Responses"].get(table, [])
            left = answer.get("UnprocessedKeys", {}).get(table)
            wanted = left["Keys"] if left else None
            if not wanted:
                break
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
        else:
            raise StoreUnavailableError("BatchGetItem left keys unprocessed")
