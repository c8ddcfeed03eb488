"""What several test modules need: the deployed tables' shape, HTTP events as API Gateway sends them, stream records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cfnlint.decode import decode  # type: ignore[import-untyped] # cfn-lint ships no types

from eventfold.core.commit import Commit
from eventfold.dynamodb.items import commit_to_item, snapshot_to_item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import CreateTableInputTypeDef

    from eventfold.core.store import Item

ROOT = Path(__file__).parents[1]


@cache
def template() -> dict[str, Any]:
    """Return template.yaml, parsed."""
    parsed: dict[str, Any] = decode(str(ROOT / "template.yaml"))[0]
    return parsed


def create_table(client: DynamoDBClient, resource: str, name: str) -> None:
    """Create a table as template.yaml declares it."""
    declared = template()["Resources"][resource]["Properties"]
    indexes = [
        {key: value for key, value in index.items() if key != "WarmThroughput"}  # AWS alone has it
        for index in declared.get("GlobalSecondaryIndexes", [])
    ]
    stream = declared.get("StreamSpecification")
    table: CreateTableInputTypeDef = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": declared["KeySchema"],
        "AttributeDefinitions": declared["AttributeDefinitions"],
    }
    if indexes:
        table["GlobalSecondaryIndexes"] = cast("Any", indexes)
    if stream:
        table["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream["StreamViewType"]}
    client.create_table(**table)


def put_all(client: DynamoDBClient, table: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Put items as quickly as it goes, unconditionally."""
    for some in batched(items, 25, strict=False):
        left: Any = {table: [{"PutRequest": {"Item": item}} for item in some]}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]


@dataclass(frozen=True)
class LambdaContext:
    """The part of Lambda's context that handlers read."""

    function_name: str = "function"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id: str = "00000000-0000-0000-0000-000000000001"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of a handler."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


def http_event(
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    authorizer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a request as API Gateway's HTTP API sends it (payload format 2.0); a str body goes as it is."""
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **{k.lower(): v for k, v in (headers or {}).items()}},
        **({"queryStringParameters": dict(query)} if query else {}),
        "requestContext": {
            "requestId": "request-1",
            "stage": "$default",
            "http": {"method": method, "path": path},
            **({"authorizer": authorizer} if authorizer else {}),
        },
        "body": text,
        "isBase64Encoded": False,
    }


def stream_event(items: Iterable[Item]) -> dict[str, Any]:
    """Return commits and snapshots as a batch of DynamoDB stream records, in this order."""
    return {
        "Records": [
            {
                "eventID": str(number),
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-01-01T00:00:00.000",
                "awsRegion": "eu-west-1",
                "dynamodb": {
                    "SequenceNumber": str(number),
                    "StreamViewType": "NEW_IMAGE",
                    "Keys": {"stream": {"S": item.stream}},
                    "NewImage": commit_to_item(item) if isinstance(item, Commit) else snapshot_to_item(item),
                },
            }
            for number, item in enumerate(items, start=100)
        ]
    }
