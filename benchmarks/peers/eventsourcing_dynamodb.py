"""The `eventsourcing` library on `eventsourcing-dynamodb`, as their documentation uses them. Reads are eventual.

Its first event creates the aggregate and is written with whatever else is there to save. Events are its own typed
classes: the library has no pydantic in it unless one puts it there.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError

from benchmarks.payload import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IDS = uuid.UUID("6f1c2f0e-6d0b-5d0a-9a55-0b9c1c9d2f4e")
EVENTS_A_SAVE = 20


class Person(Aggregate):
    """The aggregate. Its first event is `Created`; the others are changes."""

    @event("Created")
    def __init__(self, name: str, email: str, note: str, n: int) -> None:  # noqa: ARG002 - the event's fields
        self.name, self.total = name, n

    @event("Changed")
    def change(self, name: str, email: str, note: str, n: int) -> None:  # noqa: ARG002 - as above
        """Happens."""
        self.name, self.total = name, self.total + n

    @staticmethod
    def create_id(stream: str) -> uuid.UUID:
        """Return the id of a stream."""
        return uuid.uuid5(IDS, stream)


class Eventsourcing:
    """An application with the recorder for DynamoDB."""

    settings: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.table = f"{prefix}-{type(self).__name__}"
        self.app: Any = Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing_dynamodb",
                "DYNAMO_TABLE": self.table,
                "DYNAMO_ENDPOINT_URL": endpoint,
                **self.settings,
            }
        )
        self.client: Any = self.app.factory.dynamo_resource.meta.client

    def clients(self) -> list[Any]:
        return [self.client]

    def place(self, stream: str) -> tuple[str, str, str]:
        return self.table, "originator_id", str(Person.create_id(stream))

    def create_tables(self) -> None:
        self.client.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "originator_id", "KeyType": "HASH"},
                {"AttributeName": "originator_version", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "originator_id", "AttributeType": "S"},
                {"AttributeName": "originator_version", "AttributeType": "N"},
            ],
        )

    def append(self, stream: str, events: int, after: int = 0) -> None:
        person = self.get(stream, after) if after else self.create(stream)
        for version in range(max(after, 1) + 1, after + events + 1):
            person.change(**changed(version))
        self.app.save(person)

    def fill(self, stream: str, events: int) -> None:
        """Prepare a stream, several events a save: each event is an item of its own all the same."""
        person = self.create(stream)
        for version in range(2, events + 1):
            person.change(**changed(version))
            if version % EVENTS_A_SAVE == 0:
                self.app.save(person)
        self.app.save(person)

    def create(self, stream: str) -> Any:
        """Return a new aggregate under an id of the caller's, not saved yet."""
        return Person._create(Person.Created, id=Person.create_id(stream), **changed(1))  # noqa: SLF001 - there is no other way

    def get(self, stream: str, version: int | None = None) -> Any:
        """Return an aggregate, replayed."""
        return self.app.repository.get(Person.create_id(stream), version=version)

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, IntegrityError)

    def snapshot(self, stream: str) -> None:
        raise NotImplementedError(f"no snapshots of {stream}: its factory has no recorder for them")

    def change(self, stream: str) -> None:
        person = self.get(stream)
        if person.total < 0:
            raise ValueError(person)
        person.change(**changed(int(person.version) + 1))  # boto3 makes it a Decimal
        self.app.save(person)

    def writer(self, stream: str) -> Callable[[], None]:
        return lambda: self.change(stream)

    def load(self, stream: str) -> tuple[int, str, int]:
        person = self.get(stream)
        return int(person.version), person.name, person.total

    def read_streams(self, streams: Sequence[str]) -> int:
        return sum(int(self.get(stream).version) for stream in streams)

    def scan(self) -> int:
        raise NotImplementedError("no feed of all events on DynamoDB")


class Cached(Eventsourcing):
    """With its cache of aggregates, which here is not fast-forwarded: that is a setting for one writer."""

    settings = {"AGGREGATE_CACHE_MAXSIZE": "1000", "AGGREGATE_CACHE_FASTFORWARD": "n"}  # noqa: RUF012 - as above
