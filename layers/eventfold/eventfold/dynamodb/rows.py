"""Read model rows on DynamoDB: one table for all projections, one index for their lists.

WARNING: the names in this file are the stored format of the read-model table. A change needs a rebuild.
"""

from __future__ import annotations

import heapq
import zlib
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.dynamodb.controls import active_in
from eventfold.read_models.generations import ActiveReader, control_key
from eventfold.read_models.projections import Row, RowConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef, QueryInputTypeDef

INDEX = "by_sort"

MAX_SORT_BYTES = 1024  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_LAST = "\U0010ffff"  # The last character, in the order DynamoDB compares (UTF-8 bytes).


class DynamoDBRowStore:
    """Rows under `key` = projection # stream, listed by the index `by_sort`.

    A list's rows are spread over `shards` partitions of the index and merged on reading, so that one list takes
    `shards` times 1,000 WCU a second. A listed row costs a write in the table and one in the index.
    """

    def __init__(self, client: DynamoDBClient, table: str, *, shards: int = 4) -> None:
        self._client = client
        self._table = table
        self._shards = shards
        self._reader = ActiveReader()

    def get(self, projection: str, streams: Sequence[str]) -> dict[str, Row]:
        """See `RowStore.get`. One request for each 100 rows."""
        keys = [f"{projection}#{stream}" for stream in streams]
        return {row.stream: row for row in map(self._row, get_items(self._client, self._table, keys))}

    def get_active(self, projection: str, streams: Sequence[str]) -> dict[str, Row]:
        """See `RowStore.get_active`. The control item comes with the rows, so a switch costs one read more, once."""
        return self._reader.read(projection, partial(self._with_control, control_key(projection), streams))

    def put(self, projection: str, row: Row, *, replaces: int) -> None:
        """See `RowStore.put`. One request."""
        item: dict[str, AttributeValueTypeDef] = {
            "key": {"S": f"{projection}#{row.stream}"},
            "version": {"N": str(row.version)},
        }
        if row.data is not None:
            item["row"] = {"S": row.data}
        if row.sort is not None:
            item["shard"] = {"S": f"{projection}#{zlib.crc32(row.stream.encode()) % self._shards}"}
            item["sort"] = {"S": row.sort}
        put: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(#version)",
            "ExpressionAttributeNames": {"#version": "version"},
        }
        if replaces:
            put["ConditionExpression"] = "#version = :replaces"
            put["ExpressionAttributeValues"] = {":replaces": {"N": str(replaces)}}
        try:
            with passing_errors_named():
                self._client.put_item(**put)
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                raise RowConflictError(f"{projection}: {row.stream!r} is not at version {replaces}") from error
            raise

    def listed(self, projection: str, *, prefix: str, after: str | None, limit: int) -> list[Row]:
        """See `RowStore.listed`. One request for each shard."""
        low = max(prefix or "\0", f"{after}\0" if after is not None else "\0")
        high = prefix + _LAST * ((MAX_SORT_BYTES - len(prefix.encode())) // len(_LAST.encode()))
        if low > high:
            return []  # DynamoDB refuses a BETWEEN whose bounds are the wrong way round.
        shards = (self._shard(shard, low, high, limit) for shard in self._shards_of(projection))
        return list(islice(heapq.merge(*shards, key=lambda row: row.sort or ""), limit))

    def _with_control(self, control: str, streams: Sequence[str], stored: str) -> tuple[int, dict[str, Row]]:
        keys = [control, *(f"{stored}#{stream}" for stream in streams)]
        items = {item["key"]["S"]: item for item in get_items(self._client, self._table, keys)}
        active = active_in(items.pop(control, None))
        return active, {row.stream: row for row in map(self._row, items.values())}

    def _shard(self, shard: str, low: str, high: str, limit: int) -> list[Row]:
        query: QueryInputTypeDef = {
            "TableName": self._table,
            "IndexName": INDEX,
            # `shard` is one of DynamoDB's reserved words.
            "KeyConditionExpression": "#shard = :shard AND #sort BETWEEN :low AND :high",
            "ExpressionAttributeNames": {"#shard": "shard", "#sort": "sort"},
            "ExpressionAttributeValues": {":shard": {"S": shard}, ":low": {"S": low}, ":high": {"S": high}},
            "Limit": limit,
        }
        rows: list[Row] = []
        while True:
            with passing_errors_named():
                page = self._client.query(**query)
            rows += map(self._row, page["Items"])
            if len(rows) >= limit or "LastEvaluatedKey" not in page:
                return rows
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _row(self, item: Mapping[str, Any]) -> Row:
        """Read a row back. One that lies in no shard which lists are read from is not listed: it has no `sort`."""
        projection, _, stream = item["key"]["S"].partition("#")
        listed = "sort" in item and item.get("shard", {}).get("S") in self._shards_of(projection)
        return Row(
            stream=stream,
            version=int(item["version"]["N"]),
            data=item["row"]["S"] if "row" in item else None,
            sort=item["sort"]["S"] if listed else None,
        )

    def _shards_of(self, projection: str) -> list[str]:
        return [f"{projection}#{n}" for n in range(self._shards)]
