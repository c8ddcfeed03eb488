"""Reading many items by key: batches of 100, and what DynamoDB leaves undone asked for again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import batched, chain
from typing import TYPE_CHECKING, Any

from eventfold.core.backoff import Backoff
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.client import passing_errors_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

MAX_BATCH_GET = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
SIDE_BY_SIDE = 8
"""Requests at a time: below the ten connections that botocore's pool keeps."""

_BACKOFF = Backoff(attempts=6, base=0.05, cap=2)


def get_items(
    client: DynamoDBClient, table: str, keys: Sequence[str], *, consistent: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yield the items that exist under these `key`s, read consistently. One request for each 100, side by side.

    With `consistent=False` at half the price, and an item may be as it was a moment ago, or not be there yet.

    Raises:
        StoreUnavailableError: throttled, after backing off as DynamoDB asks for.
    """
    return get_by_keys(client, table, ({"key": {"S": key}} for key in keys), consistent=consistent)


def get_by_keys(
    client: DynamoDBClient,
    table: str,
    keys: Iterable[Mapping[str, Any]],
    only: Sequence[str] = (),
    *,
    consistent: bool = True,
) -> Iterator[Mapping[str, Any]]:
    """Yield the items that exist under these whole keys, as `get_items` does; of `only` some attributes, if told."""
    names = {f"#{name}": name for name in only}
    part: dict[str, Any] = {"ConsistentRead": consistent}
    if only:
        part |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
    batches = list(batched(keys, MAX_BATCH_GET, strict=False))
    get = partial(_get, client, table, part)
    if len(batches) <= 1:
        return chain.from_iterable(map(get, batches))
    with ThreadPoolExecutor(min(len(batches), SIDE_BY_SIDE)) as pool:
        return chain.from_iterable(list(pool.map(get, batches)))


def _get(
    client: DynamoDBClient, table: str, part: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    wanted: Any = list(keys)
    for attempt in range(_BACKOFF.attempts):
        request: Any = {table: {"Keys": wanted, **part}}
        with passing_errors_named():
            answer = client.batch_get_item(RequestItems=request)
        found += answer["Responses"].get(table, [])
        left = answer.get("UnprocessedKeys", {}).get(table)
        if not left:
            return found
        wanted = left["Keys"]
        _BACKOFF.wait(attempt)
    raise StoreUnavailableError("BatchGetItem left keys unprocessed")
