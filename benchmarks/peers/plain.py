"""boto3 by hand with default settings: the base that all others are measured against.

Same item per commit as eventfold, same condition, same consistency, typed by the same kind of model. `Transaction`
appends as most hand-made stores do: an item an event. `Eventual` reads at half price, and is otherwise the same.
`WellWritten` does what a good engineer does who has measured: short names of attributes, no validation of parameters, a
fixed user agent, answers parsed once, and a commit's events read by one call.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal

import boto3
import orjson
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from benchmarks.peers.model import Changed, State, evolve, new

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Plain:
    """One item a commit."""

    consistent = True
    stream, version, events, commit, at = "stream", "version", "events", "commit", "at"

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.client: Any = self.connect(endpoint)
        self.table = f"{prefix}-{type(self).__name__}"

    def connect(self, endpoint: str) -> Any:
        """Return the client."""
        return boto3.client("dynamodb", endpoint_url=endpoint)

    def clients(self) -> list[Any]:
        return [self.client]

    def place(self, stream: str) -> tuple[str, str, str]:
        return self.table, self.stream, stream

    def create_tables(self) -> None:
        self.client.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": self.stream, "KeyType": "HASH"},
                {"AttributeName": self.version, "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": self.stream, "AttributeType": "S"},
                {"AttributeName": self.version, "AttributeType": "N"},
            ],
        )

    def append(self, stream: str, events: int, after: int = 0) -> None:
        self.put(stream, after, [new(after + n) for n in range(1, events + 1)])

    def put(self, stream: str, after: int, events: list[Changed]) -> None:
        self.client.put_item(
            TableName=self.table,
            Item=self.item(stream, after + 1, events),
            ConditionExpression="attribute_not_exists(#stream)",
            ExpressionAttributeNames={"#stream": self.stream},
        )

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ConditionalCheckFailedException"

    def snapshot(self, stream: str) -> None:
        state = self.fold(stream, State(), consistent=True)
        key = {self.stream: {"S": f"{stream}#snapshot"}, self.version: {"N": "0"}}
        self.client.put_item(TableName=self.table, Item=key | {"state": {"S": state.model_dump_json()}})

    def change(self, stream: str) -> None:
        state = self.fold(stream, State(), consistent=self.consistent)
        if state.total < 0:
            raise ValueError(state)
        self.put(stream, state.version, [new(state.version + 1)])

    def writer(self, stream: str) -> Callable[[], None]:
        return lambda: self.change(stream)

    def load(self, stream: str) -> tuple[int, str, int]:
        state = State()
        if stream.startswith("snap"):
            found = self.client.get_item(
                TableName=self.table,
                Key={self.stream: {"S": f"{stream}#snapshot"}, self.version: {"N": "0"}},
                ConsistentRead=self.consistent,
            )
            state = State.model_validate_json(found["Item"]["state"]["S"])
        state = self.fold(stream, state, consistent=self.consistent)
        return state.version, state.name, state.total

    def read_streams(self, streams: Sequence[str]) -> int:
        return sum(self.fold(stream, State(), consistent=False).version for stream in streams)

    def scan(self) -> int:
        scan: dict[str, Any] = {"TableName": self.table}
        states: dict[str, State] = {}
        while True:
            page = self.client.scan(**scan)
            for one in page["Items"]:
                stream = one[self.stream]["S"]
                if self.events not in one:
                    continue  # a snapshot
                for event in self.typed(one[self.events]["S"]):
                    states[stream] = evolve(states.get(stream, State()), event)
            if "LastEvaluatedKey" not in page:
                return sum(state.version for state in states.values())
            scan["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def fold(self, stream: str, state: State, *, consistent: bool) -> State:
        query: dict[str, Any] = {
            "TableName": self.table,
            "KeyConditionExpression": "#stream = :stream AND #version > :version",
            "ExpressionAttributeNames": {"#stream": self.stream, "#version": self.version},
            "ExpressionAttributeValues": {":stream": {"S": stream}, ":version": {"N": str(state.version)}},
            "ConsistentRead": consistent,
        }
        while True:
            page = self.client.query(**query)
            for one in page["Items"]:
                for event in self.typed(one[self.events]["S"]):
                    state = evolve(state, event)
            if "LastEvaluatedKey" not in page:
                return state
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def item(self, stream: str, version: int, events: list[Changed]) -> dict[str, Any]:
        """Return a commit's item."""
        return {
            self.stream: {"S": stream},
            self.version: {"N": str(version)},
            self.events: {"S": self.text(events)},
            self.commit: {"S": str(uuid.uuid4())},
            self.at: {"N": str(int(time.time() * 1000))},
        }

    def text(self, events: list[Changed]) -> str:
        """Return events as they are stored."""
        stored = [{"type": "Changed", "v": 1, "data": event.model_dump(mode="json")} for event in events]
        return json.dumps(stored, separators=(",", ":"))

    def typed(self, text: str) -> list[Changed]:
        """Return events from what is stored."""
        events = []
        for stored in json.loads(text):
            if (stored["type"], stored["v"]) != ("Changed", 1):
                raise ValueError(stored["type"])
            events.append(Changed.model_validate(stored["data"]))
        return events


class Eventual(Plain):
    """The same, with eventually consistent reads."""

    consistent = False


class Transaction(Plain):
    """One item an event; several in a transaction."""

    def append(self, stream: str, events: int, after: int = 0) -> None:
        puts = [
            {
                "TableName": self.table,
                "Item": self.item(stream, version, [new(version)]),
                "ConditionExpression": "attribute_not_exists(#stream)",
                "ExpressionAttributeNames": {"#stream": self.stream},
            }
            for version in range(after + 1, after + events + 1)
        ]
        if events == 1:
            self.client.put_item(**puts[0])
        else:
            self.client.transact_write_items(TransactItems=[{"Put": put} for put in puts])


class Stored(TypedDict):
    """An event as it is stored."""

    type: Literal["Changed"]
    v: Literal[1]
    data: Changed


class WellWritten(Plain):
    """The same, by somebody who has measured."""

    stream, version, events, commit, at = "s", "v", "e", "c", "t"
    stored: TypeAdapter[list[Stored]] = TypeAdapter(list[Stored])

    def connect(self, endpoint: str) -> Any:
        """Return the client, whose answers are parsed once."""
        config = Config(user_agent="bench", parameter_validation=False)
        client = boto3.client("dynamodb", endpoint_url=endpoint, config=config)

        def parse(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
            if response_dict["status_code"] == 200:  # noqa: PLR2004 - OK
                customized_response_dict.update(orjson.loads(response_dict["body"]))
                response_dict["body"] = b"{}"

        events: Any = client.meta.events
        events.register("before-parse.dynamodb", parse)
        return client

    def text(self, events: list[Changed]) -> str:
        """Return events as they are stored, by one call."""
        return self.stored.dump_json([{"type": "Changed", "v": 1, "data": one} for one in events]).decode()

    def typed(self, text: str) -> list[Changed]:
        """Return events from what is stored, by one call."""
        return [one["data"] for one in self.stored.validate_json(text)]
