"""A DynamoDB Streams batch, as Lambda hands it over, and the answer Lambda expects.

Lambda restarts a batch at the lowest sequence number reported as failed:
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from eventfold.core.commit import MAX_READ_NAME_BYTES, Commit, check_stream_name
from eventfold.core.errors import InvalidStreamNameError
from eventfold.dynamodb.items import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ItemFailure(TypedDict):
    """One record that failed."""

    itemIdentifier: str


class PartialBatchResponse(TypedDict):
    """What a function with `ReportBatchItemFailures` answers; empty when all went well."""

    batchItemFailures: list[ItemFailure]


@dataclass(slots=True)
class StreamBatch:
    """A batch, read.

    `unreadable` are the streams whose records make no sense: the event table says what they should have said.
    `nameless` are the sequence numbers, with the reason, of records that don't even name a stream.
    """

    commits: list[Commit] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    nameless: dict[str, Exception] = field(default_factory=dict)

    def response(self) -> PartialBatchResponse:
        """Report the records that nothing can be done with; their destination is the mapping's on-failure one."""
        return {"batchItemFailures": [{"itemIdentifier": number} for number in self.nameless]}


def read_batch(records: Iterable[Mapping[str, Any]]) -> StreamBatch:
    """Read a batch's records. Snapshots are passed over, and one bad record does not spoil the rest."""
    batch = StreamBatch()
    for record in records:
        try:
            commit = read_record(record)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it must not stop the others
            if stream := _stream_of(record):
                batch.unreadable.append(stream)
            else:
                batch.nameless[record["dynamodb"]["SequenceNumber"]] = error
        else:
            if commit is not None:
                batch.commits.append(commit)
    return batch


def read_record(record: Mapping[str, Any]) -> Commit | None:
    """Return the commit that a stream record brings; None for a snapshot or a removal.

    Raises:
        BrokenStreamError: the image is neither a commit nor a snapshot.
    """
    image = record["dynamodb"].get("NewImage")
    item = read_whole(image) if image else None
    return item if isinstance(item, Commit) else None


def _stream_of(record: Mapping[str, Any]) -> str | None:
    keys = record["dynamodb"].get("Keys") or record["dynamodb"].get("NewImage") or {}
    try:
        stream: str = keys["stream"]["S"]
        check_stream_name(stream, MAX_READ_NAME_BYTES)
    except (KeyError, TypeError, AttributeError, InvalidStreamNameError):
        return None
    return stream
