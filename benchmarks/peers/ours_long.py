"""eventfold on its own: long streams with snapshots, and projections. No peer has these to be measured beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peers.ours import DECIDER, Change, Changed, Ours, State, evolve
from eventfold import Recorded, load, stream_name
from eventfold.aggregates.loading import DEFAULT_INTERVAL, first_page
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.memory import MemoryParkedStore
from eventfold.read_models.projections import Projection, RowTarget
from eventfold.read_models.projector import ProjectionRunner

if TYPE_CHECKING:
    from eventfold import Commit

BIG_COMMIT = 1_000
SHORT_COMMITS = 40
"""Commits of one event before the snapshot: as many as a load's first page may reach behind it."""
BEHIND = 10
STREAMS, COMMITS = 10, 10


def project(row: State | None, recorded: Recorded[Changed]) -> State:
    """Fold one event into a row."""
    return evolve(row or State(), recorded.event)


class OursLong(Ours):
    """Streams of any length, with a snapshot at the usual interval; and a read model."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        super().__init__(endpoint, prefix)
        self.rows = DynamoDBRowStore(self.client, f"{prefix}-rows")
        self.runner = ProjectionRunner(self.store, MemoryParkedStore())
        self.batches: tuple[list[Commit], list[Commit]] = ([], [])

    def create_tables(self) -> None:
        super().create_tables()
        self.client.create_table(
            TableName=self.table.replace(type(self).__name__, "rows"),
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        )

    def grow(self, stream: str, version: int) -> None:
        """Prepare a stream quickly: big commits, the last events one by one, a snapshot, ten events more."""
        short = min(SHORT_COMMITS, version)
        for after in range(0, version - short, BIG_COMMIT):
            self.append(stream, min(BIG_COMMIT, version - short - after), after)
        for after in range(version - short, version):
            self.append(stream, 1, after)
        self.snapshot(stream)
        for after in range(version, version + BEHIND):
            self.append(stream, 1, after)

    def change_cold(self, stream: str) -> None:
        """Run a command as a process does that knows nothing, at the usual interval."""
        self.new_handler(DEFAULT_INTERVAL).handle(stream, Change())

    def load_short(self, stream: str) -> int:
        """Load as a command does; return the version."""
        return load(self.store, DECIDER, stream_name("bench", stream), page_size=first_page(), consistent=False).version

    def commit_batch(self) -> int:
        """Append twice what is to be projected; return how many commits a batch has: ten of each of ten streams."""
        for n in range(STREAMS):
            for after in range(2 * COMMITS):
                self.append(f"projected-{n}", 1, after)
        streams = [stream_name("bench", f"projected-{n}") for n in range(STREAMS)]
        for n, stream in enumerate(streams):
            commits = list(self.store.oldest_first(stream))
            self.batches[0].extend(commits[:COMMITS])
            self.batches[1].extend(commits[COMMITS:])
            if len(commits) != 2 * COMMITS:
                raise ValueError(f"stream {n} has {len(commits)} commits")
        return len(self.batches[1])

    def project_first(self, name: str) -> None:
        """Prepare a read model that has seen the first batch: an ordinary batch finds its rows there."""
        self.project(name, self.batches[0])

    def project_batch(self, name: str) -> None:
        """Project the second batch."""
        self.project(name, self.batches[1])

    def project(self, name: str, batch: list[Commit]) -> None:
        """Project a batch, each commit of it."""
        read_model = Projection(name, "bench", DECIDER.codec, State, project)
        result = self.runner.run(RowTarget(read_model, self.rows), batch)
        if result.applied != len(batch) or result.parked:
            raise ValueError(result)


class OursRebuild(Ours):
    """On a table of its own: a rebuild reads all there is."""
