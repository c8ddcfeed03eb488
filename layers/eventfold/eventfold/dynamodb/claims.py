"""Claims of unique keys, as they lie in their table: `transactions.py` says what changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventfold.core.unique import Claim
from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import passing_errors_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef


class DynamoDBClaimStore:
    """Reads the table of claims."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def holders(self, keys: Iterable[str]) -> dict[str, str]:
        """See `ClaimStore.holders`. 1 RCU a key."""
        found = get_items(self._client, self._table, sorted(set(keys)))
        return {one.key: one.stream for one in map(_claim, found)}

    def listed(self) -> Iterator[Sequence[Claim]]:
        """See `ClaimStore.listed`. One request a page of 1 MB."""
        scan: ScanInputTypeDef = {"TableName": self._table}
        while True:
            with passing_errors_named():
                page = self._client.scan(**scan)
            yield [_claim(item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _claim(item: Mapping[str, Any]) -> Claim:
    return Claim(item["key"]["S"], item["stream"]["S"])
