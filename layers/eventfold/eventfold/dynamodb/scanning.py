"""The event table read as a whole, for operations. A function that answers commands does not import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventfold.core.commit import CommitPlace
from eventfold.core.errors import BrokenStreamError
from eventfold.dynamodb.batches import get_by_keys
from eventfold.dynamodb.client import passing_errors_named
from eventfold.dynamodb.items import is_snapshot, item_to_commit_or_snapshot
from eventfold.dynamodb.store import DynamoDBEventStore
from eventfold.operations.scanning import Place, Scanned, ScanPage, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb.type_defs import ScanInputTypeDef


class ScannableDynamoDBEventStore(DynamoDBEventStore):
    """The event store on DynamoDB, whose streams can all be read without knowing their names."""

    def scan(self, segment: int, segments: int, *, after: Place | None = None) -> Iterator[ScanPage]:
        """See `ScannableStore.scan`. One request a page of 1 MB, at half the price of a consistent read."""
        scan: ScanInputTypeDef = {
            "TableName": self._table,
            "Segment": segment,
            "TotalSegments": segments,
            "ReturnConsumedCapacity": "TOTAL",
        }
        if after is not None:
            scan["ExclusiveStartKey"] = {"stream": {"S": after.stream}, "version": {"N": after.key}}
        while True:
            with passing_errors_named():
                page = self._client.scan(**scan)
            yield ScanPage(tuple(map(scanned, page["Items"])), page["ConsumedCapacity"]["CapacityUnits"])
            if "LastEvaluatedKey" not in page:
                return
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def items(self, stream: str) -> Iterator[Scanned]:
        """See `ScannableStore.items`."""
        return map(scanned, self._stored(self._all_of(stream, consistent=True)))

    def commit_ids(self, places: Iterable[CommitPlace]) -> dict[CommitPlace, str]:
        """See `ScannableStore.commit_ids`. Each costs what a read of the commit costs: only its key and id are sent."""
        keys = [{"stream": {"S": one.stream}, "version": {"N": str(one.version)}} for one in places]
        found = get_by_keys(self._client, self._table, keys, ("stream", "version", "commit"))
        return {
            CommitPlace(item["stream"]["S"], int(item["version"]["N"])): item.get("commit", {}).get("S", "")
            for item in found
        }


def scanned(item: Mapping[str, Any]) -> Scanned:
    """Read an item of whatever kind: `Unreadable` if it is no commit and no snapshot."""
    try:
        return item_to_commit_or_snapshot(item)
    except BrokenStreamError as error:
        return Unreadable(error.stream, error.version, error.reason, snapshot=is_snapshot(item))
