"""A DynamoDB Streams batch, as Lambda hands it over, and the answer Lambda expects.

Lambda restarts a batch at the lowest sequence number reported as failed:
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

from collections import defaultdict
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
    `numbers` are the sequence numbers of each stream's records, but for snapshots and removals; `nameless` those of
    records that don't even name a stream, with the reason.
    """

    commits: list[Commit] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    numbers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    nameless: dict[str, Exception] = field(default_factory=dict)

    def response(self, failed: Iterable[str] = ()) -> PartialBatchResponse:
        """Report the records of streams that failed, which come again, and those that nothing can be done with.

        What is reported too often ends in the mapping's on-failure destination.
        """
        numbers = [*self.nameless, *(number for stream in failed for number in self.numbers[stream])]
        return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}


def read_batch(records: Iterable[Mapping[str, Any]]) -> StreamBatch:
    """Read a batch's records. Snapshots are passed over, and one bad record does not spoil the rest."""
    batch = StreamBatch()
    for record in records:
        number = record["dynamodb"]["SequenceNumber"]
        try:
            commit = read_record(record)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it must not stop the others
            if stream := stream_of(record):
                batch.unreadable.append(stream)
                batch.numbers[stream].append(number)
            else:
                batch.nameless[number] = error
        else:
            if commit is not None:
                batch.commits.append(commit)
                batch.numbers[commit.stream].append(number)
    return batch


def read_record(record: Mapping[str, Any]) -> Commit | None:
    """Return the commit that a stream record brings; None for a snapshot or a removal.

    Raises:
        BrokenStreamError: the image is neither a commit nor a snapshot.
    """
    image = record["dynamodb"].get("NewImage")
    item = read_whole(image) if image else None
    return item if isinstance(item, Commit) else None


def stream_of(record: Mapping[str, Any]) -> str | None:
    """Return the stream that a record is of; None where it does not say."""
    try:
        keys = record["dynamodb"].get("Keys") or record["dynamodb"].get("NewImage") or {}
        stream: str = keys["stream"]["S"]
        check_stream_name(stream, MAX_READ_NAME_BYTES)
    except (KeyError, TypeError, AttributeError, InvalidStreamNameError):
        return None
    return stream
