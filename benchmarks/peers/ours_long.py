"""eventfold on its own: long streams with snapshots, and projections. No peer has these to be measured beside."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING

from benchmarks.cloning import BATCH, write_all
from benchmarks.peers.ours import DECIDER, Change, Changed, Ours, State, evolve, new
from eventfold import Commit, Recorded, Snapshot, load, load_at, load_version, stream_name, take_snapshot
from eventfold.aggregates.history import read_page
from eventfold.aggregates.pages import DEFAULT_INTERVAL, first_page
from eventfold.dynamodb.items import commit_to_item, snapshot_to_item
from eventfold.dynamodb.rows import INDEX, DynamoDBRowStore
from eventfold.memory import MemoryParkedStore
from eventfold.read_models.projections import Projection, Row, RowTarget
from eventfold.read_models.projector import ProjectionRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.dynamodb.items import NewItem

COMMIT = 10
START = datetime(2026, 1, 1, tzinfo=UTC)
"""When a stream has its first event; each next one a second later."""
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
        """Prepare a stream quickly: commits of ten events with snapshots as usual, then the last events one by one."""
        short = min(SHORT_COMMITS, version)
        for some in batched(self._past(stream_name("bench", stream), version - short), BATCH, strict=False):
            write_all(self.client, self.table, some)
        for after in range(version - short, version):
            self.append(stream, 1, after)
        take_snapshot(self.store, DECIDER, stream_name("bench", stream), version)
        for after in range(version, version + BEHIND):
            self.append(stream, 1, after)

    def _past(self, stream: str, version: int) -> Iterator[NewItem]:
        state = State()
        for after in range(0, version, COMMIT):
            events = [new(after + n) for n in range(1, min(COMMIT, version - after) + 1)]
            state, last = DECIDER.fold(state, events), after + len(events)
            at = START + timedelta(seconds=last)
            stored = tuple(map(DECIDER.codec.encode, events))
            yield commit_to_item(Commit(stream, after + 1, stored, f"{after:016}", at))
            if last % DEFAULT_INTERVAL == 0:
                yield snapshot_to_item(Snapshot(stream, last, DECIDER.schema, DECIDER.dump(state), at))

    def one_event(self, stream: str, version: int) -> int:
        """Read the event of a version; return it."""
        page = read_page(self.store, DECIDER.codec, stream_name("bench", stream), after=version - 1, limit=1)
        return page.events[0].version

    def state_after(self, stream: str, version: int) -> int:
        """Load the state as it was at a version; return it."""
        return load_version(self.store, DECIDER, stream_name("bench", stream), version).state.version

    def state_then(self, stream: str, version: int) -> int:
        """Load the state as it was when a stream came to a version; return it."""
        at = START + timedelta(seconds=version)
        return load_at(self.store, DECIDER, stream_name("bench", stream), at).state.version

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


class OursList(Ours):
    """A list of any length, laid out in any number of ranges."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        super().__init__(endpoint, prefix)
        self._lists: dict[int, DynamoDBRowStore] = {}

    def create_tables(self) -> None:
        self.client.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("key", "shard", "sort")],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": INDEX,
                    "KeySchema": [
                        {"AttributeName": "shard", "KeyType": "HASH"},
                        {"AttributeName": "sort", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

    def grow_list(self, rows: int, ranges: int) -> int:
        """Prepare a list; return in how many ranges it lies."""
        store = self._list(ranges)
        places = [f"{n:06} lovelace" for n in range(rows)]
        store.lay_out(f"list-{rows}", random.Random(0).sample(places, rows))
        items = [store._item(f"list-{rows}", Row(f"person-{n}", 1, "{}", sort)) for n, sort in enumerate(places)]  # noqa: SLF001 - by puts it would take minutes
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(partial(write_all, self.client, self.table), batched(items, BATCH, strict=False)))
        return len({item["shard"]["S"] for item in items})

    def list_page(self, rows: int, ranges: int, limit: int) -> int:
        """Read the first page of a range in the middle; return how many rows it has."""
        store = self._list(ranges)
        borders = store._ranges._borders(f"list-{rows}")  # noqa: SLF001 - a page across two ranges is two requests
        return len(store.listed(f"list-{rows}", prefix="", after=borders[len(borders) // 2], limit=limit))

    def _list(self, ranges: int) -> DynamoDBRowStore:
        return self._lists.setdefault(ranges, DynamoDBRowStore(self.client, self.table, shards=ranges))


class OursRebuild(Ours):
    """On a table of its own: a rebuild reads all there is."""


class OursSmallRebuild(OursRebuild):
    """On another."""
