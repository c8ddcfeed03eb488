"""Deleting the rows of a generation that nobody feeds or reads any more."""

from __future__ import annotations

import time
from itertools import batched
from typing import TYPE_CHECKING, Any

from eventfold.core.backoff import Backoff
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.client import passing_errors_named
from eventfold.dynamodb.ranges import ranges_key
from eventfold.dynamodb.tallies import shards_key
from eventfold.operations.rebuild.progress import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef

MAX_BATCH_WRITE = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_BACKOFF = Backoff(attempts=8, base=0.05, cap=5)


class DynamoDBSweeper:
    """Finds a generation's rows by a scan of the read-model table: keys can't be asked for by what they begin with."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def sweep(self, stored: str, *, rate: float | None = None) -> Iterator[int]:
        """Delete all rows, checkpoints and counters of this stored name, and what its rebuild kept; yield how many.

        `rate` is in read and write units a second; a deleted row is taken for one, and its index entry for another.

        Raises:
            StoreUnavailableError: at every attempt. What is deleted is deleted.
        """
        begin = ("#", "@", *(f"!{phase}-" for phase in PHASES))  # Not all behind the `!`: control and hold lie there.
        scan: ScanInputTypeDef = {
            "TableName": self._table,
            "FilterExpression": " OR ".join(f"begins_with(#key, :k{n})" for n in range(len(begin))),
            "ProjectionExpression": "#key",
            "ExpressionAttributeNames": {"#key": "key"},
            "ExpressionAttributeValues": {f":k{n}": {"S": f"{stored}{mark}"} for n, mark in enumerate(begin)},
            "ReturnConsumedCapacity": "TOTAL",
        }
        while True:
            with passing_errors_named():
                page = self._client.scan(**scan)
            for some in batched(page["Items"], MAX_BATCH_WRITE, strict=False):
                self._delete(some)
            if page["Items"]:
                yield len(page["Items"])
            if "LastEvaluatedKey" not in page:
                self._delete([{"key": {"S": key}} for key in (ranges_key(stored), shards_key(stored))])
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            if rate:
                time.sleep((page["ConsumedCapacity"]["CapacityUnits"] + 2 * len(page["Items"])) / rate)

    def _delete(self, keys: Sequence[Any]) -> None:
        wanted: Any = {self._table: [{"DeleteRequest": {"Key": key}} for key in keys]}
        for attempt in range(_BACKOFF.attempts):
            with passing_errors_named():
                wanted = self._client.batch_write_item(RequestItems=wanted).get("UnprocessedItems")
            if not wanted:
                return
            _BACKOFF.wait(attempt)
        raise StoreUnavailableError("BatchWriteItem left rows undeleted")
