"""Ranges: how a list that one partition of the index can't take is spread, and still read in order.

A partition takes 1,000 write units a second. A list is cut into ranges of its sort key, each a partition of the index:
a page lies in one range, or in neighbours, however many there are. Cut by a hash, each page would ask them all.

A generation's ranges are set before its first row is written, and never change: a process reads them once. DynamoDB
splits a partition that stays busy by its sort key, so ranges that were cut for other rows than came grow uneven, and
stay right: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html

WARNING: the names in this file are the stored format of the read-model table. A change needs a rebuild.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import code_of, passing_errors_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

SAMPLES = 32
"""Rows looked at for each range: one then gets its share of them, give or take a half."""

_MAX_BYTES = 300_000
"""Of all borders together, in one item of at most 400 KB."""


def ranges_key(stored: str) -> str:
    """Return the key of the item that a generation's borders are kept in."""
    return f"{stored}!ranges"


class ListRanges:
    """The ranges of each list, as partitions of the index: `stored#0` and on. A list without an item has one."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._known: dict[str, Sequence[str]] = {}

    def of(self, stored: str, sort: str) -> str:
        """Return the partition that a sort key lies in. One request a process, the first time."""
        return f"{stored}#{bisect_right(self._borders(stored), sort)}"

    def between(self, stored: str, low: str, high: str) -> Iterator[str]:
        """Yield the partitions that hold what lies between two sort keys, in order. Requests as for `of`.

        A page asks for one or two of them, and there may be thousands.
        """
        borders = self._borders(stored)
        return (f"{stored}#{n}" for n in range(bisect_right(borders, low), bisect_right(borders, high) + 1))

    def with_items(self, stored: str, keys: Sequence[str], *, consistent: bool = True) -> list[Mapping[str, Any]]:
        """Return the items under these keys. The borders come with the first of them that a process reads."""
        unknown = [] if stored in self._known else [ranges_key(stored)]
        found = get_items(self._client, self._table, [*unknown, *keys], consistent=consistent or bool(unknown))
        items = {item["key"]["S"]: item for item in found}
        if unknown:
            there = items.pop(ranges_key(stored), None)
            self._known[stored] = [border["S"] for border in there["borders"]["L"]] if there else []
        return list(items.values())

    def lay_out(self, stored: str, sorts: Iterable[str], most: int) -> None:
        """Cut a new list into at most so many ranges, by rows like those it will have. One that is cut stays so."""
        found = cut(sorted(islice(sorts, most * SAMPLES)), most)
        try:
            with passing_errors_named():
                self._client.put_item(
                    TableName=self._table,
                    Item={"key": {"S": ranges_key(stored)}, "borders": {"L": [{"S": border} for border in found]}},
                    ConditionExpression="attribute_not_exists(borders)",
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise

    def _borders(self, stored: str) -> Sequence[str]:
        """Return where the ranges but the first begin."""
        if stored not in self._known:
            self.with_items(stored, [])
        return self._known[stored]


def cut(sample: Sequence[str], most: int) -> list[str]:
    """Return where to cut a sorted sample into even ranges, fewer where it is small.

    A border is as short as it can be: it outlives the row it was taken from.
    """
    ranges = min(most, len(sample) // SAMPLES)
    places = (len(sample) * n // ranges for n in range(1, ranges))
    borders = sorted({shortest_between(sample[place - 1], sample[place]) for place in places} - {""})
    while sum(len(border.encode()) for border in borders) > _MAX_BYTES:
        borders = borders[1::2]
    return borders


def shortest_between(low: str, high: str) -> str:
    """Return the shortest text that begins `high` and comes after `low`; none, where they are the same."""
    return next((high[:end] for end in range(1, len(high) + 1) if high[:end] > low), "")
