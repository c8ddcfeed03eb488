"""eventfold as its README uses it. Which of its settings a row has is in its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from benchmarks.payload import changed
from benchmarks.peers.model import Fields
from eventfold import Command, CommandHandler, Commit, Decider, Event, Head, load, stream_name, take_snapshot
from eventfold.aggregates.handling import new_commit_id, utc_now
from eventfold.aggregates.pages import DEFAULT_INTERVAL, first_page
from eventfold.core.errors import TooManyConflictsError, VersionConflictError
from eventfold.dynamodb import create_client
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.operations.scanning import by_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Changed(Fields, Event, name="Changed", version=1):  # type: ignore[valid-type,misc] # one of two, for a process
    """The event."""


class Change(Command):
    """The command."""


class State(BaseModel, frozen=True):
    """The state; `version` numbers the next event."""

    name: str = ""
    total: int = 0
    version: int = 0


def decide(_command: Change, state: State) -> list[Changed]:
    """Decide as the other peers do."""
    if state.total < 0:
        raise ValueError(state)
    return [new(state.version + 1)]


def new(version: int) -> Changed:
    """Return the event of a version."""
    return Changed(**changed(version))


def evolve(state: State, event: Changed) -> State:
    """Fold one event in."""
    return State(name=event.name, total=state.total + event.n, version=state.version + 1)


DECIDER: Decider[Change, State, Changed] = Decider("bench", State(), decide, evolve, (Changed,))
NO_SNAPSHOTS = 10_000
"""An interval so long that a load asks for one page of any length, as the peers do that have no snapshots."""


class Ours:
    """Nothing kept between two commands."""

    cached_states = 0
    consistent = True

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.client = create_client(endpoint, read_timeout=20)
        self.table = f"{prefix}-{type(self).__name__}"
        self.store = ScannableDynamoDBEventStore(self.client, self.table)
        self.handler = self.new_handler(NO_SNAPSHOTS)

    def new_handler(self, snapshot_every: int) -> CommandHandler[Change, State, Changed]:
        """Return a handler that knows nothing yet."""
        return CommandHandler(self.store, DECIDER, snapshot_every=snapshot_every, cached_states=self.cached_states)

    def clients(self) -> list[Any]:
        return [self.client]

    def place(self, stream: str) -> tuple[str, str, str]:
        return self.table, "stream", stream_name("bench", stream)

    def create_tables(self) -> None:
        self.client.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": "stream", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "stream", "AttributeType": "S"},
                {"AttributeName": "version", "AttributeType": "N"},
            ],
        )

    def append(self, stream: str, events: int, after: int = 0) -> None:
        encoded = tuple(DECIDER.codec.encode(new(after + n)) for n in range(1, events + 1))
        name = stream_name("bench", stream)
        commit = Commit(name, after + 1, encoded, new_commit_id(), utc_now())
        self.store.append(commit, after=Head(name, after))

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, VersionConflictError | TooManyConflictsError)

    def snapshot(self, stream: str) -> None:
        take_snapshot(self.store, DECIDER, stream_name("bench", stream), 1)

    def change(self, stream: str) -> None:
        self.handler.handle(stream, Change())

    def writer(self, stream: str) -> Callable[[], None]:
        """Return a handler's own view: as another process has it."""
        handler = self.new_handler(NO_SNAPSHOTS)
        return lambda: void(handler.handle(stream, Change()))

    def load(self, stream: str) -> tuple[int, str, int]:
        page_size = first_page() if stream.startswith("snap") else None
        found = load(self.store, DECIDER, stream_name("bench", stream), page_size=page_size, consistent=self.consistent)
        return found.version, found.state.name, found.state.total

    def read_streams(self, streams: Sequence[str]) -> int:
        names = [stream_name("bench", stream) for stream in streams]
        return sum(load(self.store, DECIDER, name, page_size=None, consistent=False).state.version for name in names)

    def scan(self) -> int:
        events = 0
        for _, items in by_stream(self.store.scan(0, 1)):
            state = State()
            for commit in items:
                if isinstance(commit, Commit):
                    for recorded in DECIDER.codec.recorded(commit):
                        state = evolve(state, recorded.event)
            events += state.version
        return events


def void(_: object) -> None:
    """Forget a result."""


class OursEventual(Ours):
    """Loads at half price, as a command's first read is."""

    consistent = False


class OursDefault(Ours):
    """At the usual interval, and nobody takes snapshots."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        super().__init__(endpoint, prefix)
        self.handler = self.new_handler(DEFAULT_INTERVAL)


class OursWarm(Ours):
    """The process knows the aggregate: the command function's setting."""

    cached_states = 1000
