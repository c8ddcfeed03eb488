"""aett's commit store on DynamoDB: an item a commit, two local indexes."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from aett.domain import ConflictingCommitException, DuplicateCommitException, NonConflictingCommitException
from aett.eventstore import BaseEvent, Commit, EventMessage, Snapshot, TopicMap
from aett.storage.synchronous.dynamodb.commit_store import CommitStore
from aett.storage.synchronous.dynamodb.persistence_management import PersistenceManagement
from aett.storage.synchronous.dynamodb.snapshot_store import SnapshotStore

from benchmarks.payload import changed
from benchmarks.peers.model import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TENANT = "t"


class Changed(BaseEvent):
    """The event."""

    name: str
    email: str
    note: str
    n: int


def evolve(state: State, event: Changed) -> State:
    """Fold one event in."""
    return State(name=event.name, total=state.total + event.n, version=state.version + 1)


class Aett:
    """aett."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        topics = TopicMap()
        topics.register(Changed)
        # Region `localhost` is aett's way to an endpoint of one's own.
        where: dict[str, Any] = {"region": "localhost", "port": urlsplit(endpoint).port}
        self.tables = (f"{prefix}-aett", f"{prefix}-aett-snapshots")
        boto3.setup_default_session(region_name="localhost")
        self.store: Any = CommitStore(topics, table_name=self.tables[0], **where)
        self.snapshots: Any = SnapshotStore(table_name=self.tables[1], **where)
        self.management: Any = PersistenceManagement(self.tables[0], self.tables[1], **where)

    def clients(self) -> list[Any]:
        return [self.store._dynamodb.meta.client, self.snapshots.dynamodb.meta.client]  # noqa: SLF001 - to be metered

    def place(self, stream: str) -> tuple[str, str, str]:
        return self.tables[0], "TenantAndStream", f"{TENANT}{stream}"

    def create_tables(self) -> None:
        self.management.initialize()

    def append(self, stream: str, events: int, after: int = 0) -> None:
        now = dt.datetime.now(dt.UTC)
        bodies = (Changed(source=stream, timestamp=now, **changed(after + n)) for n in range(1, events + 1))
        self.store.commit(
            Commit(
                tenant_id=TENANT,
                stream_id=stream,
                stream_revision=after + events,
                commit_id=uuid.uuid4(),
                commit_sequence=after,
                commit_stamp=now,
                headers={},
                events=[EventMessage(body=body) for body in bodies],
                checkpoint_token=0,
            )
        )

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, ConflictingCommitException | DuplicateCommitException | NonConflictingCommitException)

    def snapshot(self, stream: str) -> None:
        state = self.fold(stream, State())
        self.snapshots.add(
            Snapshot(
                tenant_id=TENANT,
                stream_id=stream,
                stream_revision=state.version,
                commit_sequence=state.version,
                payload=state.model_dump_json(),
                headers={},
            )
        )

    def change(self, stream: str) -> None:
        state = self.fold(stream, State())
        if state.total < 0:
            raise ValueError(state)
        self.append(stream, 1, state.version)

    def writer(self, stream: str) -> Callable[[], None]:
        return lambda: self.change(stream)

    def load(self, stream: str) -> tuple[int, str, int]:
        state = State()
        if stream.startswith("snap"):
            found = self.snapshots.get(TENANT, stream)
            if found is None:
                raise LookupError(stream)
            state = State.model_validate_json(found.payload)
        state = self.fold(stream, state)
        return state.version, state.name, state.total

    def read_streams(self, streams: Sequence[str]) -> int:
        return sum(self.fold(stream, State()).version for stream in streams)

    def scan(self) -> int:
        raise NotImplementedError("its scan of all commits ends after one page")

    def fold(self, stream: str, state: State) -> State:
        """Replay: its reads are consistent, and follow no second page."""
        for commit in self.store.get(TENANT, stream, min_revision=state.version + 1):
            for message in commit.events:
                if not isinstance(message.body, Changed):
                    raise TypeError(message.body)
                state = evolve(state, message.body)
        return state
