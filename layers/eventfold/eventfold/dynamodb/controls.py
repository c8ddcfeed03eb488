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
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutItemInputTypeDef


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
        found = map(_control, items)
        return {name: Control.first(name) for name in projections} | {one.projection: one for one in found}

    def write(self, control: Control, *, unparked: bool = False) -> Control:
        """See `ControlStore.write`. One request. An own write whose answer was lost is told by what it has left."""
        written = control.model_copy(update={"revision": control.revision + 1})
        stored = written.model_dump_json(exclude={"parkings"})
        put: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": {
                "key": {"S": control_key(control.projection)},
                "control": {"S": stored},
                "active": {"N": str(written.active)},
                "revision": {"N": str(written.revision)},
                "parkings": {"N": str(written.parkings)},
            },
            "ConditionExpression": " AND ".join(
                (
                    "#revision = :revision" if control.revision else "attribute_not_exists(#revision)",
                    *(["#parkings = :parkings"] if unparked else []),
                )
            ),
            "ExpressionAttributeNames": {"#revision": "revision", **({"#parkings": "parkings"} if unparked else {})},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        values: dict[str, AttributeValueTypeDef] = {}
        if control.revision:
            values[":revision"] = {"N": str(control.revision)}
        if unparked:
            values[":parkings"] = {"N": str(control.parkings)}
        if values:
            put["ExpressionAttributeValues"] = values
        try:
            with passing_errors_named():
                self._client.put_item(**put)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            response: Mapping[str, Any] = error.response
            if response.get("Item", {}).get("control", {}).get("S") != stored:
                raise RowConflictError(f"the control item of {control.projection} was changed in between") from error
        return written

    def count_parking(self, projection: str) -> None:
        """See `ControlStore.count_parking`. One request."""
        try:
            with passing_errors_named():
                self._client.update_item(
                    TableName=self._table,
                    Key={"key": {"S": control_key(projection)}},
                    UpdateExpression="ADD #parkings :one",
                    ConditionExpression="attribute_exists(#key)",
                    ExpressionAttributeNames={"#key": "key", "#parkings": "parkings"},
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise


def _control(item: Mapping[str, Any]) -> Control:
    control = Control.model_validate_json(item["control"]["S"])
    return control.model_copy(update={"parkings": int(item["parkings"]["N"])}) if "parkings" in item else control
