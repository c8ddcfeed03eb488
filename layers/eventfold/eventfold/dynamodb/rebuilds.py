"""A rebuild's progress and its hold on DynamoDB, beside the control items in the read-model table.

WARNING: the names in this file are the stored format of the read-model table.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.dynamodb.controls import DynamoDBControlStore
from eventfold.operations.rebuild.progress import PHASES, Phase, Progress
from eventfold.read_models.projections import RowConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoDBRebuildStore(DynamoDBControlStore):
    """Keeps `RebuildStore`: control items, and beside them progress, its pages and the hold.

    Progress lies under `generation!phase-part`, a page under `generation!phase-part.run-number`, a hold under
    `projection!hold`.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(client, table)
        self._clock = clock

    def progress(self, stored: str, phase: Phase, parts: Sequence[int]) -> dict[int, Progress]:
        """See `ProgressStore.progress`. One request for each 100."""
        items = get_items(self._client, self._table, [_progress_key(stored, phase, part) for part in parts])
        found = (Progress.model_validate_json(item["progress"]["S"]) for item in items)
        return {one.part: one for one in found}

    def save_progress(self, stored: str, phase: Phase, progress: Progress) -> Progress:
        """See `ProgressStore.save_progress`. One request."""
        written = progress.model_copy(update={"revision": progress.revision + 1})
        key = _progress_key(stored, phase, progress.part)
        try:
            with passing_errors_named():
                self._client.put_item(
                    TableName=self._table,
                    Item={
                        "key": {"S": key},
                        "progress": {"S": written.model_dump_json()},
                        "revision": {"N": str(written.revision)},
                        "run": {"S": written.run},
                    },
                    ConditionExpression="attribute_not_exists(#revision) OR #revision = :replaces OR #run = :run",
                    ExpressionAttributeNames={"#revision": "revision", "#run": "run"},
                    ExpressionAttributeValues={
                        ":replaces": {"N": str(progress.revision)},
                        ":run": {"S": written.run},
                    },
                )
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                raise RowConflictError(f"{key} was changed in between") from error
            raise
        return written

    def save_page(self, stored: str, phase: Phase, part: int, name: str, content: bytes) -> None:
        """See `ProgressStore.save_page`. One request."""
        key = _page_key(stored, phase, part, name)
        with passing_errors_named():
            self._client.put_item(TableName=self._table, Item={"key": {"S": key}, "page": {"B": content}})

    def pages(self, stored: str, phase: Phase, part: int, names: Sequence[str]) -> Iterator[bytes]:
        """See `ProgressStore.pages`. One request for each 16 MB, or 100."""
        items = get_items(self._client, self._table, [_page_key(stored, phase, part, name) for name in names])
        return (_bytes(item["page"]["B"]) for item in items)

    def forget_progress(self, stored: str, parts: Sequence[int]) -> None:
        """See `ProgressStore.forget_progress`. A request for each item; what counts them goes first."""
        for phase in PHASES:
            for part, there in self.progress(stored, phase, parts).items():
                self._delete(_progress_key(stored, phase, part))
                for name in there.page_names:
                    self._delete(_page_key(stored, phase, part, name))

    def _delete(self, key: str) -> None:
        with passing_errors_named():
            self._client.delete_item(TableName=self._table, Key={"key": {"S": key}})

    def hold(self, projection: str, owner: str, seconds: float, *, on: bool = False) -> float:
        """See `ProgressStore.hold`. One request."""
        now = self._clock()
        free = "" if on else "attribute_not_exists(#until) OR #until < :now OR "
        mine = "#owner = :owner AND attribute_not_exists(failure)" if on else "#owner = :owner"
        try:
            with passing_errors_named():
                self._client.put_item(
                    TableName=self._table,
                    Item=_hold_key(projection)
                    | {"owner": {"S": owner}, "until": {"N": str((now + timedelta(seconds=seconds)).timestamp())}},
                    ConditionExpression=free + mine,
                    ExpressionAttributeNames={"#owner": "owner"} | ({"#until": "until"} if free else {}),
                    ExpressionAttributeValues={":owner": {"S": owner}}
                    | ({":now": {"N": str(now.timestamp())}} if free else {}),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            response: Mapping[str, Any] = error.response
            until = float(response.get("Item", {}).get("until", {"N": str(now.timestamp() + seconds)})["N"])
            return max(until - now.timestamp(), 0.001)
        return 0

    def release(self, projection: str, owner: str, reason: str = "") -> None:
        """See `ProgressStore.release`. One request."""
        released = {"owner": {"S": owner}, "until": {"N": "0"}, "failure": {"S": reason}}
        try:
            with passing_errors_named():
                self._client.put_item(
                    TableName=self._table,
                    Item=_hold_key(projection) | released,
                    ConditionExpression="#owner = :owner AND attribute_not_exists(failure)",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={":owner": {"S": owner}},
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise

    def failure(self, projection: str, owner: str) -> str:
        """See `ProgressStore.failure`. One request."""
        for item in get_items(self._client, self._table, [_hold_key(projection)["key"]["S"]]):
            if item["owner"]["S"] == owner:
                return str(item.get("failure", {"S": ""})["S"])
        return ""


def _bytes(value: bytes | str) -> bytes:
    """Return a binary attribute: bytes from botocore, base64 text where an answer is parsed once."""
    return base64.b64decode(value) if isinstance(value, str) else value


def _progress_key(stored: str, phase: Phase, part: int) -> str:
    return f"{stored}!{phase}-{part}"


def _page_key(stored: str, phase: Phase, part: int, name: str) -> str:
    return f"{_progress_key(stored, phase, part)}.{name}"


def _hold_key(projection: str) -> dict[str, Any]:
    return {"key": {"S": f"{projection}!hold"}}
