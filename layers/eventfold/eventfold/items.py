"""Commits and snapshots as DynamoDB items.

WARNING: the names in this file are the stored format. Tables that exist hold them for ever: add, never rename.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from eventfold.commit import Commit, CommitRef, Snapshot
from eventfold.errors import BrokenStreamError, ItemTooLargeError
from eventfold.events import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from eventfold.store import Item

    type StoredItem = dict[str, AttributeValueTypeDef]

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_ITEM_BYTES = 400 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_EVENTS = TypeAdapter(tuple[StoredEvent, ...])
_META = TypeAdapter(dict[str, str])
_REFS = TypeAdapter(tuple[CommitRef, ...])


def commit_to_item(commit: Commit) -> StoredItem:
    """Return the item of a commit.

    Raises:
        ItemTooLargeError: over 400 KB.
    """
    item: StoredItem = {
        "stream": {"S": commit.stream},
        "version": {"N": str(commit.version)},
        "events": {"S": _text(commit.events)},
        "commit": {"S": commit.id},
        "at": {"N": str((commit.at - _EPOCH) // _MILLISECOND)},
    }
    if commit.meta:
        item["meta"] = {"S": _text(commit.meta)}
    if commit.digest:
        item["digest"] = {"S": commit.digest}
    if commit.snapshot_due:
        item["snapshot_due"] = {"BOOL": True}
    return _checked(item, commit.stream, commit.version)


def snapshot_to_item(snapshot: Snapshot) -> StoredItem:
    """Return the item of a snapshot: its key lies after every event it covers and before the next.

    Raises:
        ItemTooLargeError: over 400 KB.
    """
    item: StoredItem = {
        "stream": {"S": snapshot.stream},
        "version": {"N": f"{snapshot.version}.5"},
        "state": {"S": snapshot.state},
        "schema": {"S": snapshot.schema},
        "at": {"N": str((snapshot.at - _EPOCH) // _MILLISECOND)},
    }
    if snapshot.refs:
        item["refs"] = {"S": _text(snapshot.refs)}
    return _checked(item, snapshot.stream, snapshot.version)


def item_to_commit_or_snapshot(item: Mapping[str, Any]) -> Item:
    """Read an item back: from the table, or from a stream record's image.

    Raises:
        BrokenStreamError: the item is neither; names its stream and version.
    """
    stream, key = item["stream"]["S"], item["version"]["N"]
    try:
        at = _EPOCH + int(item["at"]["N"]) * _MILLISECOND
        if key.endswith(".5"):
            refs = _REFS.validate_json(item["refs"]["S"]) if "refs" in item else ()
            return Snapshot(stream, int(key[:-2]), item["schema"]["S"], item["state"]["S"], at, refs)
        return Commit(
            stream=stream,
            version=int(key),
            events=_EVENTS.validate_json(item["events"]["S"]),
            id=item["commit"]["S"],
            at=at,
            meta=_META.validate_json(item["meta"]["S"]) if "meta" in item else {},
            digest=item["digest"]["S"] if "digest" in item else "",
            snapshot_due="snapshot_due" in item,
        )
    except (KeyError, ValueError, OverflowError) as error:
        what = f"{error.error_count()} faults in its JSON" if isinstance(error, ValidationError) else repr(error)
        raise BrokenStreamError(stream, int(float(key)), f"the item is not a commit or snapshot: {what}") from None


def item_bytes(item: Mapping[str, AttributeValueTypeDef]) -> int:
    """Return what DynamoDB counts for an item made of strings, positive numbers and booleans.

    Rules: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    total = 0
    for name, value in item.items():
        total += len(name.encode())
        if "S" in value:
            total += len(value["S"].encode())
        elif "N" in value:
            total += (len(value["N"].strip("0-.")) + 1) // 2 + 1
        else:
            total += 1
    return total


def _checked(item: StoredItem, stream: str, version: int) -> StoredItem:
    if (size := item_bytes(item)) > MAX_ITEM_BYTES:
        raise ItemTooLargeError(
            f"stream {stream!r}, version {version}: {size:,} bytes, and DynamoDB keeps {MAX_ITEM_BYTES:,} an item"
        )
    return item


def _text(value: object) -> str:
    return to_json(value).decode()
