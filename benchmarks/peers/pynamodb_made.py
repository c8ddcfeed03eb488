"""A store made by hand with pynamodb: an item an event, several in a transaction."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.connection import Connection
from pynamodb.exceptions import PutError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from benchmarks.peers.model import Changed, State, evolve, new

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Pynamodb:
    """Models as pynamodb's documentation writes them."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.table = f"{prefix}-pynamodb"

        class Item(Model):
            class Meta:
                table_name = self.table
                host = endpoint
                billing_mode = "PAY_PER_REQUEST"

            stream = UnicodeAttribute(hash_key=True)
            version = NumberAttribute(range_key=True)
            data = UnicodeAttribute()
            commit = UnicodeAttribute(null=True)
            at = NumberAttribute()

        self.item: Any = Item
        self.connection: Any = Connection(host=endpoint)

    def clients(self) -> list[Any]:
        return [self.item._get_connection().connection.client, self.connection.client]  # noqa: SLF001 - to be metered

    def place(self, stream: str) -> tuple[str, str, str]:
        return self.table, "stream", stream

    def create_tables(self) -> None:
        self.item.create_table(wait=False)

    def append(self, stream: str, events: int, after: int = 0) -> None:
        commit = str(uuid.uuid4())
        items = [
            self.item(stream, one, data=new(one).model_dump_json(), commit=commit, at=int(time.time() * 1000))
            for one in range(after + 1, after + events + 1)
        ]
        condition = self.item.stream.does_not_exist()
        if events == 1:
            items[0].save(condition=condition)
            return
        with TransactWrite(connection=self.connection) as transaction:
            for item in items:
                transaction.save(item, condition=condition)

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, PutError) and error.cause_response_code == "ConditionalCheckFailedException"

    def snapshot(self, stream: str) -> None:
        state = self.fold(stream, State(), consistent=True)
        self.item(f"{stream}#snapshot", 0, data=state.model_dump_json(), at=int(time.time() * 1000)).save()

    def change(self, stream: str) -> None:
        state = self.fold(stream, State(), consistent=True)
        if state.total < 0:
            raise ValueError(state)
        self.append(stream, 1, state.version)

    def writer(self, stream: str) -> Callable[[], None]:
        return lambda: self.change(stream)

    def load(self, stream: str) -> tuple[int, str, int]:
        state = State()
        if stream.startswith("snap"):
            found = self.item.get(f"{stream}#snapshot", 0, consistent_read=True)
            state = State.model_validate_json(found.data)
        state = self.fold(stream, state, consistent=True)
        return state.version, state.name, state.total

    def read_streams(self, streams: Sequence[str]) -> int:
        return sum(self.fold(stream, State(), consistent=False).version for stream in streams)

    def scan(self) -> int:
        states: dict[str, State] = {}
        for item in self.item.scan():
            if item.version == 0:
                continue  # a snapshot
            states[item.stream] = evolve(states.get(item.stream, State()), Changed.model_validate_json(item.data))
        return sum(state.version for state in states.values())

    def fold(self, stream: str, state: State, *, consistent: bool) -> State:
        newer = self.item.version > state.version
        for item in self.item.query(stream, newer, consistent_read=consistent):
            state = evolve(state, Changed.model_validate_json(item.data))
        return state
