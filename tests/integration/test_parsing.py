"""Whether answers parsed once are botocore's own, and whether a botocore that changes is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventfold import Head
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.parsing import OneParse
from eventfold.testing.commits import commit

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local


@pytest.fixture
def client(dynamodb_local_url: str, local_tables: tuple[str, str]) -> DynamoDBClient:
    """A client that nothing was installed on, and a table with one commit."""
    client: DynamoDBClient = boto3.client("dynamodb", endpoint_url=dynamodb_local_url)
    DynamoDBEventStore(client, local_tables[0]).append(commit("thing-1", 1), after=Head("thing-1", 0))
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
    assert answers(client, local_tables[0]) == expected
    assert one.active
    assert expected[0]["Items"][0]["stream"] == {"S": "thing-1"}


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
    assert not one.active


def test_a_botocore_that_reads_an_answer_differently_parses_as_ever(
    client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    one = OneParse.install(client)
    client.meta.events.register_first(
        "after-call.dynamodb.Query", lambda parsed, **_: parsed.update(Items=[{"stream": "thing-1"}])
    )
    answers(client, local_tables[0])
    assert not one.active


def test_a_refused_request_is_botocores_to_read(client: DynamoDBClient) -> None:
    OneParse.install(client)
    for _ in range(3):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.scan(TableName="nowhere")
