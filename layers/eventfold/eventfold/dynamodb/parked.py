"""Parked streams on DynamoDB: a table of their own, so that a read-model table that throttles can't stop parking.

WARNING: the names in this file are the stored format of that table.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.read_models.parking import Parked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class DynamoDBParkedStore:
    """One item for each projection and stream."""

    def __init__(
        self, client: DynamoDBClient, table: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def park(self, projection: str, stream: str, version: int | None, reason: str) -> None:
        """See `ParkedStore.park`. One request."""
        values: dict[str, AttributeValueTypeDef] = {
            "reason": {"S": reason[:1000]},
            "token": {"S": uuid.uuid4().hex},
            **({} if version is None else {"version": {"N": str(version)}}),
        }
        now: AttributeValueTypeDef = {"S": self._clock().isoformat(timespec="milliseconds")}
        sets = ["#since = if_not_exists(#since, :since)", *(f"#{name} = :{name}" for name in values)]
        values |= {"since": now, "attempts": {"N": "1"}}
        with passing_errors_named():
            self._client.update_item(
                TableName=self._table,
                Key=_key(projection, stream),
                UpdateExpression=f"SET {', '.join(sets)} ADD #attempts :attempts",
                ExpressionAttributeNames={f"#{name}": name for name in values},
                ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
            )

    def find(self, projection: str, stream: str) -> Parked | None:
        """See `ParkedStore.find`. One request."""
        with passing_errors_named():
            answer = self._client.get_item(TableName=self._table, Key=_key(projection, stream), ConsistentRead=True)
        return _parked(answer["Item"]) if "Item" in answer else None

    def release(self, parked: Parked) -> bool:
        """See `ParkedStore.release`. One request."""
        try:
            with passing_errors_named():
                self._client.delete_item(
                    TableName=self._table,
                    Key=_key(parked.projection, parked.stream),
                    ConditionExpression="attribute_not_exists(#token) OR #token = :token",
                    ExpressionAttributeNames={"#token": "token"},
                    ExpressionAttributeValues={":token": {"S": parked.token}},
                )
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def listed(self, projection: str | None = None) -> Iterator[Parked]:
        """See `ParkedStore.listed`. One request a page."""
        pages: Iterator[Mapping[str, Any]]
        if projection is None:
            pages = iter(self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True))
        else:
            pages = iter(
                self._client.get_paginator("query").paginate(
                    TableName=self._table,
                    ConsistentRead=True,
                    KeyConditionExpression="#projection = :projection",
                    ExpressionAttributeNames={"#projection": "projection"},
                    ExpressionAttributeValues={":projection": {"S": projection}},
                )
            )
        with passing_errors_named():
            for page in pages:
                yield from map(_parked, page["Items"])


def _key(projection: str, stream: str) -> dict[str, AttributeValueTypeDef]:
    return {"projection": {"S": projection}, "stream": {"S": stream}}


def _parked(item: Mapping[str, Any]) -> Parked:
    return Parked(
        projection=item["projection"]["S"],
        stream=item["stream"]["S"],
        version=int(item["version"]["N"]) if "version" in item else None,
        reason=item["reason"]["S"],
        since=datetime.fromisoformat(item["since"]["S"]),
        attempts=int(item["attempts"]["N"]),
        token=item["token"]["S"],
    )
