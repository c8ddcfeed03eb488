"""Commits and snapshots as DynamoDB items.

WARNING: the names in this file are the stored format. Tables that exist hold them for ever: add, never rename.
"""

from __future__ import annotations

import base64
import zlib
from copy import replace
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from eventfold.core.commit import Commit, CommitPlace, CommitRef, Copy, Snapshot, read_parts
from eventfold.core.errors import BrokenStreamError, InvalidCommitError, ItemTooLargeError
from eventfold.core.stored import NotJsonError, read_stored, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from eventfold.core.store import Item
    from eventfold.core.stored import StoredEvent

    type NewItem = dict[str, AttributeValueTypeDef]
    type StoredItem = Mapping[str, Any]

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_ITEM_BYTES = 400 * 1024
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-mode.html
WRITE_UNIT_BYTES = 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# A TypeAdapter's own `validate_json` costs half of what it calls.
_read_meta: Callable[[str], dict[str, str]] = TypeAdapter(dict[str, str]).validator.validate_json
_read_siblings: Callable[[str], tuple[CommitPlace, ...]] = TypeAdapter(tuple[CommitPlace, ...]).validator.validate_json
_read_copies: Callable[[str], tuple[Copy, ...]] = TypeAdapter(tuple[Copy, ...]).validator.validate_json
_read_refs: Callable[[str | bytes], tuple[CommitRef, ...]]
_read_refs = TypeAdapter(tuple[CommitRef, ...]).validator.validate_json


def commit_to_item(commit: Commit) -> NewItem:
    """Return the item of a commit.

    Raises:
        InvalidCommitError: its events hold what JSON can't carry.
        ItemTooLargeError: over 400 KB, before compression: whether a commit fits must not hang on its words.
    """
    return _checked(_plain(commit), commit.stream, commit.version)


def uncompressed_bytes(commit: Commit) -> int:
    """Return what DynamoDB would count for a commit that is not compressed."""
    return item_bytes(_plain(commit))


def _plain(commit: Commit) -> NewItem:
    try:
        events = written(commit.events).text
    except NotJsonError as error:
        what = f"stream {commit.stream!r}, version {commit.version}: an event holds {error.reason}"
        raise InvalidCommitError(what) from None
    item: NewItem = {
        "stream": {"S": commit.stream},
        "version": {"N": str(commit.version)},
        "events": {"S": events},
        "commit": {"S": commit.id},
        "at": {"N": str((commit.at - _EPOCH) // _MILLISECOND)},
    }
    if commit.meta:
        item["meta"] = {"S": _text(dict(commit.meta))}
    if commit.digest:
        item["digest"] = {"S": commit.digest}
    if commit.snapshot_due:
        item["snapshot_due"] = {"BOOL": True}
    if commit.siblings:
        item["siblings"] = {"S": _text(commit.siblings)}
    if commit.copies:
        item["copies"] = {"S": _text(commit.copies)}
    return item


def snapshot_to_item(snapshot: Snapshot) -> NewItem:
    """Return the item of a snapshot: its key lies after every event it covers and before the next.

    Raises:
        ItemTooLargeError: over 400 KB.
    """
    item: NewItem = {
        "stream": {"S": snapshot.stream},
        "version": {"N": f"{snapshot.version}.5"},
        "state": {"S": snapshot.state},
        "schema": {"S": snapshot.schema},
        "at": {"N": str((snapshot.at - _EPOCH) // _MILLISECOND)},
    }
    if snapshot.refs:
        item["refs"] = {"S": _text(snapshot.refs)}
    return _checked(item, snapshot.stream, snapshot.version)


class StoredCommit(Commit):
    """A commit as read: events, time and meta stay JSON until they are asked for. A load asks for few of them.

    Asking raises `BrokenStreamError` where they make no sense.
    """

    __slots__ = ("_at", "_events", "_item", "_json")

    def __init__(self, item: StoredItem) -> None:
        self._item = item
        self._json: Mapping[str, Any] = item["events"]
        self._events: tuple[StoredEvent, ...] | None = None
        self._at: datetime | None = None
        self.stream = item["stream"]["S"]
        self.version = int(item["version"]["N"])
        self.id = item["commit"]["S"]
        self.digest = item["digest"]["S"] if "digest" in item else ""
        self.snapshot_due = "snapshot_due" in item

    def __replace__(self, **changes: Any) -> Commit:
        return replace(Commit(**{one.name: getattr(self, one.name) for one in fields(Commit)}), **changes)

    @property
    def events(self) -> tuple[StoredEvent, ...]:  # type: ignore[override] # nobody sets a commit's parts
        """See `Commit`."""
        if self._events is None:
            try:
                self._events = read_stored(_json_in(self._json))
            except _BROKEN as error:
                raise _broken(self._item, error) from None
        return self._events

    @property
    def unread(self) -> str | bytes | None:
        """See `Commit`."""
        if self._events is not None:
            return None
        try:
            return _json_in(self._json)
        except _BROKEN as error:
            raise _broken(self._item, error) from None

    @property
    def stored_bytes(self) -> int:
        """See `Commit`."""
        return len(self._json["S"] if "S" in self._json else self._json["B"])

    @property
    def at(self) -> datetime:  # type: ignore[override] # as above
        """See `Commit`."""
        if self._at is None:
            try:
                self._at = _at(self._item)
            except _BROKEN as error:
                raise _broken(self._item, error) from None
        return self._at

    @property
    def meta(self) -> Mapping[str, str]:  # type: ignore[override] # as above
        """See `Commit`."""
        try:
            return _read_meta(self._item["meta"]["S"]) if "meta" in self._item else {}
        except _BROKEN as error:
            raise _broken(self._item, error) from None

    @property
    def siblings(self) -> tuple[CommitPlace, ...]:  # type: ignore[override] # as above
        """See `Commit`."""
        try:
            return _read_siblings(self._item["siblings"]["S"]) if "siblings" in self._item else ()
        except _BROKEN as error:
            raise _broken(self._item, error) from None

    @property
    def copies(self) -> tuple[Copy, ...]:  # type: ignore[override] # as above
        """See `Commit`."""
        try:
            return _read_copies(self._item["copies"]["S"]) if "copies" in self._item else ()
        except _BROKEN as error:
            raise _broken(self._item, error) from None


def is_snapshot(item: StoredItem) -> bool:
    """Return whether an item lies where only a snapshot may, readable or not."""
    return str(item["version"]["N"]).endswith(".5")


def item_to_commit_or_snapshot(item: StoredItem) -> Item:
    """Read an item back: from the table, or from a stream record's image. See `StoredCommit` on what is not read yet.

    Raises:
        BrokenStreamError: the item is neither; names its stream and version.
    """
    try:
        if not is_snapshot(item):
            return StoredCommit(item)
        refs = _read_refs(_json_in(item["refs"])) if "refs" in item else ()
        state = _json_in(item["state"])
        return Snapshot(
            stream=item["stream"]["S"],
            version=int(item["version"]["N"][:-2]),
            schema=item["schema"]["S"],
            state=state if isinstance(state, str) else state.decode(),
            at=_at(item),
            refs=refs,
        )
    except _BROKEN as error:
        raise _broken(item, error) from None


def read_whole(item: StoredItem) -> Item:
    """Read an item back with all its parts.

    Raises:
        BrokenStreamError: one makes no sense; names its stream and version.
    """
    read = item_to_commit_or_snapshot(item)
    if isinstance(read, Commit):
        read_parts(read)
    return read


_BROKEN = (KeyError, ValueError, OverflowError, zlib.error)


def _broken(item: StoredItem, error: Exception) -> BrokenStreamError:
    match error:
        case ValidationError():
            what = f"{error.error_count()} faults in its JSON"
        case UnicodeError():
            what = "text that is not UTF-8"  # The error's own words quote it, and it may be personal.
        case _:
            what = repr(error)
    reason = f"the item is not a commit or snapshot: {what}"
    return BrokenStreamError(item["stream"]["S"], int(float(item["version"]["N"])), reason)


def _at(item: StoredItem) -> datetime:
    return _EPOCH + int(item["at"]["N"]) * _MILLISECOND


def item_bytes(item: Mapping[str, AttributeValueTypeDef]) -> int:
    """Return what DynamoDB counts for an item made of strings, bytes, numbers and booleans.

    Rules: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    total = 0
    for name, value in item.items():
        total += len(name.encode())
        if "S" in value:
            total += len(value["S"].encode())
        elif "N" in value:
            total += (len(value["N"].strip("0-.")) + 1) // 2 + 1 + value["N"].startswith("-")
        elif "B" in value:
            total += len(value["B"])
        else:
            total += 1
    return total


def _checked(item: NewItem, stream: str, version: int) -> NewItem:
    size = item_bytes(item)
    if size > MAX_ITEM_BYTES:
        raise ItemTooLargeError(
            f"stream {stream!r}, version {version}: {size:,} bytes, and DynamoDB keeps {MAX_ITEM_BYTES:,} an item"
        )
    return _compressed(item, size) if size > WRITE_UNIT_BYTES else item


def _compressed(item: NewItem, size: int) -> NewItem:
    """Return the item with its JSON compressed, if that saves a write unit; as it is if not."""
    small = item | {
        name: {"B": zlib.compress(item[name]["S"].encode())} for name in ("events", "state", "refs") if name in item
    }
    saves = -(-item_bytes(small) // WRITE_UNIT_BYTES) < -(-size // WRITE_UNIT_BYTES)
    return small if saves else item


def _json_in(value: Mapping[str, Any]) -> str | bytes:
    """Return an attribute's JSON. Compressed, it is bytes from botocore, and base64 text in a stream record."""
    if "S" in value:
        text: str = value["S"]
        return text
    packed = value["B"]
    raw = base64.b64decode(packed, validate=True) if isinstance(packed, str) else packed
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(raw, MAX_ITEM_BYTES)
    if not unpacker.eof:
        raise ValueError("compressed JSON that is cut off, or larger than what was ever put in")
    return unpacked


def _text(value: object) -> str:
    return to_json(value).decode()
