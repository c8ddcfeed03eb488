"""Whether answers parsed once are botocore's own, and whether a botocore that changes is noticed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventfold import Head
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.parsing import OneParse, _same
from eventfold.testing.commits import commit

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local


@pytest.fixture(params=[1, 500], ids=["plain", "compressed"])
def client(request: pytest.FixtureRequest, dynamodb_local_url: str, local_tables: tuple[str, str]) -> DynamoDBClient:
    """A client that nothing was installed on, and a table with one commit, of text or of bytes."""
    client: DynamoDBClient = boto3.client("dynamodb", endpoint_url=dynamodb_local_url)
    one = commit("thing-1", 1, text="Ada " * request.param)
    DynamoDBEventStore(client, local_tables[0]).append(one, after=Head("thing-1", 0))
    return client


def answers(client: DynamoDBClient, table: str) -> list[dict[str, Any]]:
    """Return what each operation that is parsed once answers, thrice: the first answer goes both ways."""
    key = {"stream": {"S": "thing-1"}, "version": {"N": "1"}}
    found: list[Any] = []
    for _ in range(3):
        found += (
            client.query(
                TableName=table,
                KeyConditionExpression="#s = :s",
                ExpressionAttributeNames={"#s": "stream"},
                ExpressionAttributeValues={":s": {"S": "thing-1"}},
                ReturnConsumedCapacity="TOTAL",
            ),
            client.scan(TableName=table, Limit=1),
            client.batch_get_item(RequestItems={table: {"Keys": [key]}}),
        )
    return [{name: value for name, value in answer.items() if name != "ResponseMetadata"} for answer in found]


def test_an_answer_parsed_once_is_what_botocore_makes_of_it(
    client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    expected = answers(client, local_tables[0])
    one = OneParse.install(client)
    first, *later = answers(client, local_tables[0])
    assert first == expected[0]
    assert one.active
    assert json.dumps(later) == json.dumps(expected[1:], default=lambda raw: base64.b64encode(raw).decode())
    assert expected[0]["Items"][0]["stream"] == {"S": "thing-1"}


def test_only_an_answer_with_items_decides(client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    one = OneParse.install(client)
    table = local_tables[0]
    nothing = {"stream": {"S": "thing-2"}, "version": {"N": "1"}}
    client.batch_get_item(RequestItems={table: {"Keys": [nothing]}})
    assert list(DynamoDBEventStore(client, table).oldest_first("thing-2")) == []
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.scan(TableName="nowhere")
    assert one.active is None
    answers(client, table)
    assert one.active


def test_a_difference_is_seen_after_empty_answers_too(client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    one = OneParse.install(client)
    assert list(DynamoDBEventStore(client, local_tables[0]).oldest_first("thing-2")) == []
    client.meta.events.register_first("after-call.dynamodb.Query", lambda parsed, **_: parsed["Items"].reverse())
    client.meta.events.register_first("after-call.dynamodb.Query", lambda parsed, **_: parsed["Items"].append({}))
    answers(client, local_tables[0])
    assert one.active is False


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({"B": "YQ=="}, {"B": b"a"}, True),
        ({"B": "YQ=="}, {"B": b"b"}, False),
        ({"B": "YQ=="}, {"B": "YQ=="}, True),
        ({"BS": ["YQ==", "Yg=="]}, {"BS": [b"a", b"b"]}, True),
        ({"BS": ["YQ=="]}, {"BS": [b"a", b"b"]}, False),
        ({"M": {"a": {"L": [{"B": "YQ=="}]}}}, {"M": {"a": {"L": [{"B": b"a"}]}}}, True),
        ({"B": {"S": "a"}}, {"B": {"S": "a"}}, True),
        ({"a": {"N": "1"}}, {"a": {"N": "1"}, "b": {}}, False),
        (None, {"a": {}}, False),
    ],
)
def test_binary_attributes_are_compared_as_bytes(ours: object, theirs: object, *, same: bool) -> None:
    assert _same(ours, theirs) is same


def test_the_walker_has_nothing_left_to_do(client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    bodies: list[bytes] = []
    OneParse.install(client)
    client.meta.events.register_last(
        "before-parse.dynamodb.Query", lambda response_dict, **_: bodies.append(response_dict["body"])
    )
    answers(client, local_tables[0])
    assert bodies[0] != b"{}"
    assert bodies[1:] == [b"{}", b"{}"]


def test_a_botocore_that_drops_what_was_put_in_place_parses_as_ever(
    client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    expected = answers(client, local_tables[0])
    one = OneParse.install(client)
    client.meta.events.register_last(
        "before-parse.dynamodb", lambda customized_response_dict, **_: customized_response_dict.clear()
    )
    assert answers(client, local_tables[0]) == expected
    assert one.active is False


def test_a_botocore_that_reads_an_answer_differently_parses_as_ever(
    client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    one = OneParse.install(client)
    client.meta.events.register_first(
        "after-call.dynamodb.Query", lambda parsed, **_: parsed.update(Items=[{"stream": "thing-1"}])
    )
    answers(client, local_tables[0])
    assert one.active is False


def test_a_refused_request_is_botocores_to_read(client: DynamoDBClient) -> None:
    OneParse.install(client)
    for _ in range(3):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.scan(TableName="nowhere")
