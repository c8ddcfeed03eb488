"""Read model rows on DynamoDB: one table for all projections, one index for their lists.

WARNING: the names in this file are the stored format of the read-model table. A change needs a rebuild.
"""

from __future__ import annotations

from copy import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.dynamodb.controls import active_in
from eventfold.dynamodb.ranges import ListRanges
from eventfold.read_models.generations import control_key
from eventfold.read_models.live import ActiveReader
from eventfold.read_models.projections import Row, RowConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef, QueryInputTypeDef

INDEX = "by_sort"

MAX_SORT_BYTES = 1024  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_LAST = ("\U0010ffff", "\x7f", "\u07ff", "\uffff")
"""The last characters in DynamoDB's order, that of UTF-8 bytes: of all, and of those that fit in 1, 2 and 3 bytes."""


class DynamoDBRowStore:
    """Rows under `key` = projection # stream, listed by the index `by_sort`.

    A list is laid out in ranges, each a partition of the index: at most `shards` of them, by `lay_out`. A listed row
    costs a write in the table and, where what the list shows has changed, one in the index: two, if it moves there.
    """

    def __init__(self, client: DynamoDBClient, table: str, *, shards: int = 16) -> None:
        self._client = client
        self._table = table
        self._shards = shards
        self._ranges = ListRanges(client, table)
        self._reader = ActiveReader()

    def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        """See `RowStore.get`. One request for each 100 rows."""
        keys = [f"{projection}#{stream}" for stream in streams]
        items = self._ranges.with_items(projection, keys, consistent=consistent)
        return {row.stream: row for row in (self._placed(projection, item) for item in items)}

    def get_active(self, projection: str, streams: Sequence[str]) -> dict[str, Row]:
        """See `RowStore.get_active`. The control item comes with the rows, so a switch costs one read more, once."""
        return self._reader.read(projection, partial(self._with_control, control_key(projection), streams))

    def put(self, projection: str, row: Row, *, replaces: int) -> None:
        """See `RowStore.put`. One request."""
        put: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": self._item(projection, row),
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

    def lay_out(self, projection: str, sorts: Iterable[str]) -> None:
        """See `RowStore.lay_out`. One request; looks at some rows for each range."""
        self._ranges.lay_out(projection, sorts, self._shards)

    def listed(self, projection: str, *, prefix: str, after: str | None, limit: int) -> list[Row]:
        """See `RowStore.listed`. One request for each range that the page lies in."""
        behind = after or ""
        low, high = _within_a_key(max(prefix, f"{behind}\0")), _last_of(prefix)
        if low > high or len(prefix.encode()) > MAX_SORT_BYTES:
            return []  # DynamoDB refuses a BETWEEN whose bounds are the wrong way round, and a key that is too long.
        rows: dict[str, Row] = {}
        for shard in self._ranges.between(projection, low, high):
            query = self._query(shard, low, high)
            while len(rows) < limit:
                query["Limit"] = limit - len(rows)
                with passing_errors_named():
                    page = self._client.query(**query)
                for row in map(_row, page["Items"]):
                    there = rows.get(row.stream)
                    if (row.sort or "") > behind and (there is None or there.version < row.version):
                        rows.pop(row.stream, None)  # Renamed at this moment, it is met twice: the newer one counts.
                        rows[row.stream] = row
                if "LastEvaluatedKey" not in page:
                    break
                query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            if len(rows) >= limit:
                break
        return list(rows.values())

    def _with_control(self, control: str, streams: Sequence[str], stored: str) -> tuple[int, dict[str, Row]]:
        keys = [control, *(f"{stored}#{stream}" for stream in streams)]
        items = {item["key"]["S"]: item for item in get_items(self._client, self._table, keys)}
        active = active_in(items.pop(control, None))
        return active, {row.stream: row for row in map(_row, items.values())}

    def _item(self, projection: str, row: Row) -> dict[str, AttributeValueTypeDef]:
        item: dict[str, AttributeValueTypeDef] = {
            "key": {"S": f"{projection}#{row.stream}"},
            "version": {"N": str(row.version)},
        }
        if row.data is not None:
            item["row"] = {"S": row.data}
        if row.sort is not None:
            item["shard"] = {"S": self._ranges.of(projection, row.sort)}
            item["sort"] = {"S": row.sort}
            item["shown"] = {"N": str(row.shown or row.version)}
        return item

    def _query(self, shard: str, low: str, high: str) -> QueryInputTypeDef:
        return {
            "TableName": self._table,
            "IndexName": INDEX,
            # `shard` is one of DynamoDB's reserved words.
            "KeyConditionExpression": "#shard = :shard AND #sort BETWEEN :low AND :high",
            "ExpressionAttributeNames": {"#shard": "shard", "#sort": "sort"},
            "ExpressionAttributeValues": {":shard": {"S": shard}, ":low": {"S": low}, ":high": {"S": high}},
        }

    def _placed(self, projection: str, item: Mapping[str, Any]) -> Row:
        """Read a row back. One that does not lie in its range is not listed: it has no `sort`."""
        row = _row(item)
        if row.sort is None or item.get("shard", {}).get("S") == self._ranges.of(projection, row.sort):
            return row
        return replace(row, sort=None)


def _last_of(prefix: str) -> str:
    """Return the last sort key that could begin with a prefix."""
    whole, rest = divmod(MAX_SORT_BYTES - len(prefix.encode()), len(_LAST[0].encode()))
    return prefix + _LAST[0] * whole + (_LAST[rest] if rest else "")


def _within_a_key(text: str) -> str:
    """Return as much of a text as fits in a key: it comes no later than the whole, and DynamoDB takes it."""
    return text.encode()[:MAX_SORT_BYTES].decode(errors="ignore")


def _row(item: Mapping[str, Any]) -> Row:
    """Read a row from the table, or what the index has of it."""
    shown = int(item["shown"]["N"]) if "shown" in item else None
    version = int(item["version"]["N"]) if "version" in item else shown or 0
    return Row(
        stream=item["key"]["S"].partition("#")[2],
        version=version,
        data=item["row"]["S"] if "row" in item else None,
        sort=item["sort"]["S"] if "sort" in item else None,
        shown=None if shown == version else shown,
    )
