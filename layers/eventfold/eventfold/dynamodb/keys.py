"""Listing a read-model table's keys: the one place that takes them apart."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from eventfold.dynamodb.client import passing_errors_named
from eventfold.operations.verify.keys import StoredKey
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef

# A read model's name has none of these characters, so the first one ends it.
_KEY = re.compile(r"([^#@!]+)([#@])(.+)", re.DOTALL)


class DynamoDBKeyListing:
    """Lists rows (`name#stream`), checkpoints (`tally@stream`) and counters (`tally#row#shard`).

    `tallies` are the read models that are tallies: their `#` keys are counters. Control items are passed over.
    """

    def __init__(self, client: DynamoDBClient, table: str, tallies: Collection[str]) -> None:
        self._client = client
        self._table = table
        self._tallies = frozenset(tallies)

    def keys(
        self, segment: int, segments: int, *, consistent: bool = False, rate: float | None = None
    ) -> Iterator[list[StoredKey]]:
        """See `KeyListing.keys`. One request a page of 1 MB; whole rows are paid for, a part of each is sent."""
        scan: ScanInputTypeDef = {
            "TableName": self._table,
            "ProjectionExpression": "#key, #version, #step",
            "ExpressionAttributeNames": {"#key": "key", "#version": "version", "#step": "step"},
            "ConsistentRead": consistent,
            "Segment": segment,
            "TotalSegments": segments,
            "ReturnConsumedCapacity": "TOTAL",
        }
        while True:
            with passing_errors_named():
                page = self._client.scan(**scan)
            yield [key for item in page["Items"] if (key := self._key(item))]
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            if rate:
                time.sleep(page["ConsumedCapacity"]["CapacityUnits"] / rate)

    def _key(self, item: Mapping[str, Any]) -> StoredKey | None:
        parts = _KEY.fullmatch(item["key"]["S"])
        if parts is None:
            return None
        stored, mark, of = parts.groups()
        if mark == "@":
            return StoredKey(stored, "checkpoint", of, _number(item, "version"), _number(item, "step"))
        if GenerationName.parse(stored).read_model in self._tallies:
            return StoredKey(stored, "counter", of.rpartition("#")[0])
        return StoredKey(stored, "row", of, _number(item, "version"))


def _number(item: Mapping[str, Any], name: str) -> int:
    """Return a number, 0 for what is none: that it makes no sense is found by who reads the whole."""
    number = item.get(name, {}).get("N", "")
    return int(number) if number.isdigit() else 0
