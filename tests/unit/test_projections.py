"""Projections end right under duplicates, gaps, any order, races and failures."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.users.directory import DIRECTORY, DirectoryRow
from app.users.rules import UserCreated, UserDeleted, UserEmailRemoved, UserUpdated
from eventfold import Commit, Head
from eventfold.core.errors import BrokenStreamError, StoreUnavailableError
from eventfold.memory import MemoryEventStore, MemoryParkedStore, MemoryRowStore
from eventfold.read_models.projections import Row, RowConflictError, RowTarget
from eventfold.read_models.projector import BatchResult, ProjectionRunner
from eventfold.testing import rows_after
from tests.domain import COUNTER, TOTALS, Added, Closed

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = datetime(2026, 1, 1, tzinfo=UTC)


def commits_of(store: MemoryEventStore, stream: str, sizes: Sequence[int], *, closed: bool = False) -> list[Commit]:
    """Append commits of so many events, each adding 1; the last one closes if asked."""
    version = 0
    for n, size in enumerate(sizes, start=1):
        last = closed and n == len(sizes)
        events = tuple(COUNTER.codec.encode(Closed() if last else Added(amount=1)) for _ in range(size))
        store.append(Commit(stream, version + 1, events, f"{stream}/{n}", AT), after=Head(stream, version))
        version += size
    return list(store.oldest_first(stream))


def run(store: MemoryEventStore, rows: MemoryRowStore, commits: Sequence[Commit]) -> BatchResult:
    """Run the totals over a batch."""
    return ProjectionRunner(store, MemoryParkedStore()).run(RowTarget(TOTALS, rows), commits)


def total(rows: MemoryRowStore, stream: str) -> tuple[int, int | None]:
    """Return a row's version and total."""
    row = rows.get("totals", [stream])[stream]
    return row.version, TOTALS.row.model_validate_json(row.data).total if row.data else None


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1),
    st.randoms(use_true_random=False),
)
def test_any_order_any_batches_any_duplicates_end_right(streams: dict[str, list[int]], dice: random.Random) -> None:
    store, rows = MemoryEventStore(), MemoryRowStore()
    records = [c for id_, sizes in streams.items() for c in commits_of(store, f"counter-{id_}", sizes)]
    records += dice.choices(records, k=len(records))
    dice.shuffle(records)
    while records:
        batch, records = records[: dice.randint(1, 4)], records[4:]
        assert not run(store, rows, batch).parked
    for id_, sizes in streams.items():
        row = rows.get("totals", [f"counter-{id_}"]).get(f"counter-{id_}")
        if row is not None:  # every one of its records may have been dropped: the next one heals it
            assert total(rows, f"counter-{id_}") == (row.version, row.version)
        (*_, last) = store.oldest_first(f"counter-{id_}")
        run(store, rows, [last])
        assert total(rows, f"counter-{id_}") == (sum(sizes), sum(sizes))


def test_a_batch_is_one_write_a_stream_and_one_read() -> None:
    class Counted(MemoryRowStore):
        reads = writes = 0

        def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
            self.reads += 1
            return super().get(projection, streams, consistent=consistent)

        def put(self, projection: str, row: Row, *, replaces: int) -> None:
            self.writes += 1
            super().put(projection, row, replaces=replaces)

    store, rows = MemoryEventStore(), Counted()
    batch = [c for n in range(10) for c in commits_of(store, f"counter-{n}", [1] * 10)]
    result = run(store, rows, batch)
    assert (rows.reads, rows.writes) == (1, 10)
    assert (result.applied, result.duplicates, result.healed) == (100, 0, 0)


def test_duplicates_are_dropped_and_gaps_read_from_the_table() -> None:
    store, rows = MemoryEventStore(), MemoryRowStore()
    one, two, three, four = commits_of(store, "counter-1", [1, 2, 1, 1])
    run(store, rows, [one])
    result = run(store, rows, [one, three])
    assert (result.applied, result.duplicates, result.healed) == (3, 1, 2)
    assert total(rows, "counter-1") == (5, 5)
    assert run(store, rows, [two, four]).duplicates == 2


def test_a_removed_row_stays_as_a_tombstone_with_its_version() -> None:
    store, rows = MemoryEventStore(), MemoryRowStore()
    commits = commits_of(store, "counter-1", [2, 1], closed=True)
    run(store, rows, commits)
    assert total(rows, "counter-1") == (3, None)
    assert rows.listed("totals", prefix="", after=None, limit=10) == []
    run(store, rows, commits)
    assert total(rows, "counter-1") == (3, None)


def test_a_stream_that_fails_leaves_the_others_alone() -> None:
    store, rows = MemoryEventStore(), MemoryRowStore()
    good = commits_of(store, "counter-1", [1])
    bad = Commit("counter-2", 1, ({"type": "Gone", "v": 1, "data": {}},), "x", AT)
    result = run(store, rows, [bad, *good])
    assert list(result.parked) == ["counter-2"]
    assert total(rows, "counter-1") == (1, 1)


def test_a_gap_that_the_table_has_too_is_an_error_and_writes_nothing() -> None:
    store, rows = MemoryEventStore(), MemoryRowStore()
    _, two = commits_of(store, "counter-1", [1, 1])
    del store._streams["counter-1"][1]
    result = run(store, rows, [two])
    assert isinstance(result.parked["counter-1"], BrokenStreamError)
    assert rows.get("totals", ["counter-1"]) == {}


def test_a_row_written_in_between_is_read_again() -> None:
    store = MemoryEventStore()
    one, two = commits_of(store, "counter-1", [1, 1])

    class Racing(MemoryRowStore):
        raced = False

        def put(self, projection: str, row: Row, *, replaces: int) -> None:
            if not self.raced:
                self.raced = True
                run(store, self, [one])
            super().put(projection, row, replaces=replaces)

    rows = Racing()
    result = run(store, rows, [one, two])
    assert not result.parked
    assert total(rows, "counter-1") == (2, 2)
    assert (result.applied, result.duplicates) == (1, 1)


def test_a_row_that_keeps_changing_fails_the_stream() -> None:
    class Restless(MemoryRowStore):
        def put(self, projection: str, row: Row, *, replaces: int) -> None:
            raise RowConflictError

    store = MemoryEventStore()
    result = run(store, Restless(), commits_of(store, "counter-1", [1]))
    assert isinstance(result.parked["counter-1"], RowConflictError)


def test_a_limit_is_the_version_to_come_to_exactly() -> None:
    """A generation that is shown goes as far as the others went: not further, though the table has more, nor less."""
    store, rows = MemoryEventStore(), MemoryRowStore()
    one, two, three, four = commits_of(store, "counter-1", [1, 2, 1, 1])
    runner, target = ProjectionRunner(store, MemoryParkedStore()), RowTarget(TOTALS, rows)
    for batch, upto, version in (([one, four], 3, 3), ([two], 4, 4), ([three, four], 4, 4)):
        assert not runner.run(target, batch, upto={"counter-1": upto}).parked
        assert total(rows, "counter-1") == (version, version)
    assert runner.redrive(target, ["counter-1"], upto={"counter-1": 4}).applied == 0
    assert runner.run(target, [four]).applied == 1


class TestDirectory:
    def test_a_user_s_row_follows_its_events(self) -> None:
        rows = rows_after(
            DIRECTORY,
            UserCreated(name="Ada"),
            UserUpdated(email="ada@example.com"),
            UserUpdated(name="Ada L."),
            UserEmailRemoved(),
            UserDeleted(),
            id_="7",
        )
        assert rows == [
            DirectoryRow(id="7", name="Ada"),
            DirectoryRow(id="7", name="Ada", email="ada@example.com"),
            DirectoryRow(id="7", name="Ada L.", email="ada@example.com"),
            DirectoryRow(id="7", name="Ada L."),
            None,
        ]

    @pytest.mark.parametrize("name", ["x" * 200, "\U0001f600" * 200, "ΐ" * 200, "ß" * 200])
    def test_a_sort_key_fits_dynamodb_s_1024_bytes(self, name: str) -> None:
        assert DIRECTORY.sort_key is not None
        stream = "user-00000000-0000-0000-0000-000000000000"
        assert len(DIRECTORY.sort_key(stream, DirectoryRow(id="1", name=name)).encode()) <= 1024


def test_streams_of_a_batch_are_written_at_the_same_time() -> None:
    together = Barrier(4, timeout=10)

    class Meeting(MemoryRowStore):
        def put(self, projection: str, row: Row, *, replaces: int) -> None:
            together.wait()
            super().put(projection, row, replaces=replaces)

    store, rows = MemoryEventStore(), Meeting()
    batch = [commit for n in range(8) for commit in commits_of(store, f"counter-{n}", [1])]
    runner = ProjectionRunner(store, MemoryParkedStore(), writers=4)
    assert runner.run(RowTarget(TOTALS, rows), batch).applied == 8
    assert len(rows.get("totals", [commit.stream for commit in batch])) == 8


def test_a_batch_that_fails_is_not_left_half_way() -> None:
    """Nothing is still being written when the failure is told: Lambda would bring the batch again, to another process."""
    written: list[str] = []

    class Slow(MemoryRowStore):
        def put(self, projection: str, row: Row, *, replaces: int) -> None:
            if row.stream == "counter-0":
                raise StoreUnavailableError("rows")
            time.sleep(0.05)
            written.append(row.stream)

    class Down(MemoryParkedStore):
        def park(self, *_: object) -> None:
            raise StoreUnavailableError("parked")

    store = MemoryEventStore()
    batch = [commit for n in range(4) for commit in commits_of(store, f"counter-{n}", [1])]
    assert ProjectionRunner(store, Down(), writers=2).run(RowTarget(TOTALS, Slow()), batch).failed.keys() == {
        "counter-0"
    }
    assert sorted(written) == ["counter-1", "counter-2", "counter-3"]
