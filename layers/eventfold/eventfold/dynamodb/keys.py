"""Listing a read-model table's keys: the one place that takes them apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eventfold.dynamodb.client import passing_errors_named
from eventfold.operations.verify.keys import StoredKey
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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

    def keys(self, segment: int, segments: int) -> Iterator[list[StoredKey]]:
        """See `KeyListing.keys`. One request a page of 1 MB; whole rows are paid for, keys alone are sent."""
        scan: ScanInputTypeDef = {
            "TableName": self._table,
            "ProjectionExpression": "#key",
            "ExpressionAttributeNames": {"#key": "key"},
            "Segment": segment,
            "TotalSegments": segments,
        }
        while True:
            with passing_errors_named():
                page = self._client.scan(**scan)
            found = (self._key(item["key"]["S"]) for item in page["Items"])
            yield [key for key in found if key]
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _key(self, key: str) -> StoredKey | None:
        parts = _KEY.fullmatch(key)
        if parts is None:
            return None
        stored, mark, of = parts.groups()
        if mark == "@":
            return StoredKey(stored, "checkpoint", of)
        if GenerationName.parse(stored).read_model in self._tallies:
            return StoredKey(stored, "counter", of.rpartition("#")[0])
        return StoredKey(stored, "row", of)
