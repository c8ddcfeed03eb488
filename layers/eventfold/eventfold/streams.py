"""A DynamoDB Streams batch, as Lambda hands it over, and the answer Lambda expects.

Lambda restarts a batch at the lowest sequence number reported as failed:
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from eventfold.commit import Commit
from eventfold.items import item_to_commit_or_snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


class ItemFailure(TypedDict):
    """One record that failed."""

    itemIdentifier: str


class PartialBatchResponse(TypedDict):
    """What a function with `ReportBatchItemFailures` answers; empty when all went well."""

    batchItemFailures: list[ItemFailure]


@dataclass(slots=True)
class StreamBatch:
    """The commits of a batch by sequence number, and the records that could not be read, with the reason."""

    commits: dict[str, Commit] = field(default_factory=dict)
    unreadable: dict[str, Exception] = field(default_factory=dict)

    def response(self, failed_streams: Collection[str]) -> PartialBatchResponse:
        """Report the unreadable records and those of the failed streams."""
        failed = [
            *self.unreadable,
            *(number for number, commit in self.commits.items() if commit.stream in failed_streams),
        ]
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


def read_batch(records: Iterable[Mapping[str, Any]]) -> StreamBatch:
    """Read a batch's records. Snapshots are passed over, and one bad record does not spoil the rest."""
    batch = StreamBatch()
    for record in records:
        number = record["dynamodb"]["SequenceNumber"]
        try:
            item = read_record(record)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it must not stop the others
            batch.unreadable[number] = error
        else:
            if item is not None:
                batch.commits[number] = item
    return batch


def read_record(record: Mapping[str, Any]) -> Commit | None:
    """Return the commit that a stream record brings; None for a snapshot or a removal.

    Raises:
        BrokenStreamError: the image is neither a commit nor a snapshot.
    """
    image = record["dynamodb"].get("NewImage")
    item = item_to_commit_or_snapshot(image) if image else None
    return item if isinstance(item, Commit) else None
