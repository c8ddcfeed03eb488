"""Tallies on DynamoDB, in the read-model table.

WARNING: the names in this file are the stored format of the read-model table. A change needs a rebuild.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.dynamodb.controls import active_in
from eventfold.dynamodb.transactions import ConditionFailedError, transact
from eventfold.read_models.generations import control_key
from eventfold.read_models.live import ActiveReader
from eventfold.read_models.projections import RowConflictError
from eventfold.read_models.tallies import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutTypeDef, TransactWriteItemTypeDef

    from eventfold.read_models.tallies import Counts, Moved


def shards_key(stored: str) -> str:
    """Return the key of the item that says over how many shards a tally's counters are spread at the most."""
    return f"{stored}!shards"


class DynamoDBTallyStore:
    """Counters under `tally#row#shard`, checkpoints under `tally@stream`, the number of shards under `tally!shards`.

    A row's counters are spread by stream over `shards` items, so that transactions seldom meet in one, and summed on
    reading. A process that counts with more shards than there were says so before it counts; every reading asks, in
    the same request as for the counters, and so finds all of them. Fewer than there were are read on.
    """

    def __init__(self, client: DynamoDBClient, table: str, *, shards: int = 4) -> None:
        self._client = client
        self._table = table
        self._shards = shards
        self._announced: set[str] = set()
        self._known: dict[str, int] = {}
        self._reader = ActiveReader()

    def checkpoints(self, tally: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Checkpoint]:
        """See `TallyStore.checkpoints`. One request for each 100."""
        keys = [f"{tally}@{stream}" for stream in streams]
        items = get_items(self._client, self._table, keys, consistent=consistent)
        return {found.stream: found for found in map(_checkpoint, items)}

    def shard(self, stream: str) -> int:
        """See `TallyStore.shard`."""
        return zlib.crc32(stream.encode()) % self._shards

    def add(self, tally: str, counts: Counts, moved: Moved) -> None:
        """See `TallyStore.add`. One transaction, again where other transactions were in its way.

        A process's first one of a tally is one request more.
        """
        self._announce(tally)
        shard = self.shard(next(iter(moved)).stream)
        items = [
            *(self._move(f"{tally}@{one.stream}", one, replaces) for one, replaces in moved.items()),
            *(self._increment(f"{tally}#{row}#{shard}", counters) for row, counters in counts.items() if counters),
        ]
        try:
            transact(self._client, items)
        except ConditionFailedError as error:
            one = list(moved)[min(error.items)]
            raise RowConflictError(f"{tally}: {one.stream!r} is not at {moved[one]}") from error

    def totals(self, tally: str, rows: Sequence[str]) -> dict[str, dict[str, int]]:
        """See `TallyStore.totals`. One request for each 100 shards, side by side."""
        return _sums(tally, self._counters(tally, rows, []))

    def totals_active(self, tally: str, rows: Sequence[str]) -> dict[str, dict[str, int]]:
        """See `TallyStore.totals_active`. Requests as for `totals`: the control item comes with the shards."""
        return self._reader.read(tally, partial(self._with_control, control_key(tally), rows))

    def _with_control(self, control: str, rows: Sequence[str], stored: str) -> tuple[int, dict[str, dict[str, int]]]:
        found = self._counters(stored, rows, [control])
        item = next((one for one in found if one["key"]["S"] == control), None)
        return active_in(item), _sums(stored, (one for one in found if one is not item))

    def _counters(self, tally: str, rows: Sequence[str], more: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the shards of these rows, and what is under `more` keys; again where there are more than was known."""
        while True:
            known = self._known.get(tally, self._shards)
            keys = [*more, shards_key(tally), *(f"{tally}#{row}#{shard}" for row in rows for shard in range(known))]
            found = {item["key"]["S"]: item for item in get_items(self._client, self._table, keys)}
            said = found.pop(shards_key(tally), None)
            there = int(said["shards"]["N"]) if said else 0
            if there:
                self._known[tally] = there
            if there <= known:
                return list(found.values())

    def _announce(self, tally: str) -> None:
        """Say that counters are spread over this many shards, if it was over fewer."""
        if tally in self._announced:
            return
        try:
            with passing_errors_named():
                self._client.update_item(
                    TableName=self._table,
                    Key={"key": {"S": shards_key(tally)}},
                    UpdateExpression="SET shards = :shards",
                    ConditionExpression="attribute_not_exists(shards) OR shards < :shards",
                    ExpressionAttributeValues={":shards": {"N": str(self._shards)}},
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
        self._announced.add(tally)

    def _move(self, key: str, checkpoint: Checkpoint, replaces: Checkpoint | None) -> TransactWriteItemTypeDef:
        step: dict[str, AttributeValueTypeDef] = {"step": {"N": str(checkpoint.step)}} if checkpoint.step else {}
        put: PutTypeDef = {
            "TableName": self._table,
            "Item": {"key": {"S": key}, "version": {"N": str(checkpoint.version)}, **step},
            "ConditionExpression": "attribute_not_exists(#version) AND attribute_not_exists(#step)",
            "ExpressionAttributeNames": {"#version": "version", "#step": "step"},
        }
        if replaces:
            is_step = "#step = :step" if replaces.step else "attribute_not_exists(#step)"
            put["ConditionExpression"] = f"#version = :version AND {is_step}"
            at_step: dict[str, AttributeValueTypeDef] = {":step": {"N": str(replaces.step)}} if replaces.step else {}
            put["ExpressionAttributeValues"] = {":version": {"N": str(replaces.version)}, **at_step}
        return {"Put": put}

    def _increment(self, key: str, counters: Mapping[str, int]) -> TransactWriteItemTypeDef:
        names = list(counters)
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"key": {"S": key}},
                "UpdateExpression": "ADD " + ", ".join(f"#n{i} :n{i}" for i in range(len(names))),
                "ExpressionAttributeNames": {f"#n{i}": name for i, name in enumerate(names)},
                "ExpressionAttributeValues": {f":n{i}": {"N": str(counters[name])} for i, name in enumerate(names)},
            }
        }


def _checkpoint(item: Mapping[str, Any]) -> Checkpoint:
    step = int(item["step"]["N"]) if "step" in item else 0
    return Checkpoint(item["key"]["S"].partition("@")[2], int(item["version"]["N"]), step)


def _sums(tally: str, items: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Add up the shards of each row."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item in items:
        row = item["key"]["S"].removeprefix(f"{tally}#").rpartition("#")[0]
        for name, value in item.items():
            if name != "key":
                sums[row][name] += int(value["N"])
    return {row: dict(counters) for row, counters in sums.items()}
