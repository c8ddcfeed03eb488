"""Control items on DynamoDB, in the read-model table: which generations of a read model there are.

WARNING: the names in this file are the stored format of the read-model table, and rows.py and tallies.py read `active`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.batches import get_items
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.read_models.generations import Control, control_key
from eventfold.read_models.projections import RowConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient


def active_in(item: Mapping[str, Any] | None) -> int:
    """Return the active generation by a control item; the first one where there is none."""
    return int(item["active"]["N"]) if item else 1


class DynamoDBControlStore:
    """Keeps `ControlStore`, each item under `projection!`: no row has such a key, since a row's has a `#` or an `@`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, projections: Sequence[str]) -> dict[str, Control]:
        """See `ControlStore.read`. One request."""
        items = get_items(self._client, self._table, [control_key(name) for name in projections])
        found = [Control.model_validate_json(item["control"]["S"]) for item in items]
        return {name: Control.first(name) for name in projections} | {one.projection: one for one in found}

    def write(self, control: Control) -> Control:
        """See `ControlStore.write`. One request."""
        written = control.model_copy(update={"revision": control.revision + 1})
        condition = "attribute_not_exists(#revision)" if control.revision == 0 else "#revision = :replaces"
        replaces = {":replaces": {"N": str(control.revision)}}
        try:
            with passing_errors_named():
                self._client.put_item(
                    TableName=self._table,
                    Item={
                        "key": {"S": control_key(control.projection)},
                        "control": {"S": written.model_dump_json()},
                        "active": {"N": str(written.active)},
                        "revision": {"N": str(written.revision)},
                    },
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#revision": "revision"},
                    **({"ExpressionAttributeValues": replaces} if control.revision else {}),  # type: ignore[arg-type]
                )
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                raise RowConflictError(f"the control item of {control.projection} was changed in between") from error
            raise
        return written
