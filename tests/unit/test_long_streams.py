"""Streams longer than memory: no page is asked for beyond a cap, and a load holds no more than a bounded part."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfold import CommandHandler, Commit, Request, load, load_version, take_snapshot
from eventfold.core.commit import REMEMBERED_COMMITS
from eventfold.core.errors import BrokenStreamError
from eventfold.dynamodb.items import commit_to_item
from eventfold.dynamodb.store import MAX_PAGE_ITEMS, DynamoDBEventStore
from eventfold.memory import MemoryEventStore
from tests.domain import COUNTER, Add, Added
from tests.unit.test_loading import WatchedStore, filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.core.store import Item

AT = datetime(2026, 1, 1, tzinfo=UTC)
COMMITS = 5_000
HELD = "eventfold.aggregates.loading.HELD_BYTES"


def one(version: int) -> Commit:
    event = COUNTER.codec.encode(Added(amount=1))
    return Commit("counter-1", version, (event,), f"commit-{version}", AT, {"filler": "x" * 500}, "d")


class OneItemAPage:
    """A client whose pages end after one item, as they do where items are large; says what it was asked for."""

    def __init__(self, pages: int) -> None:
        self.left = pages
        self.limits: list[int | None] = []

    def query(self, **query: Any) -> dict[str, Any]:
        self.limits.append(query.get("Limit"))
        self.left -= 1
        return {"Items": [commit_to_item(one(1))], **({"LastEvaluatedKey": {}} if self.left else {})}


@pytest.mark.parametrize("read", ["newest_first", "oldest_first"])
@pytest.mark.parametrize("page_size", [1, 31, 10**9])
def test_a_page_s_limit_grows_to_a_cap(read: str, page_size: int) -> None:
    client = OneItemAPage(40)
    store = DynamoDBEventStore(cast("DynamoDBClient", client), "events")
    assert len(list(getattr(store, read)("counter-1", page_size=page_size))) == 40
    assert client.limits == [min(page_size * 8 ** max(page - 1, 0), MAX_PAGE_ITEMS) for page in range(40)]


class LongStream(MemoryEventStore):
    """A stream whose commits exist only while they are read."""

    def newest_first(self, stream: str, *, upto: int | None = None, **_: Any) -> Iterator[Item]:
        yield from map(one, range(min(upto or COMMITS, COMMITS), 0, -1))

    def oldest_first(self, stream: str, *, after: int = 0, **_: Any) -> Iterator[Commit]:
        yield from map(one, range(after + 1, COMMITS + 1))


def peak(work: Any) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def loads() -> None:
    loaded = load(LongStream(), COUNTER, "counter-1")
    assert (loaded.version, loaded.state.total) == (COMMITS, COMMITS)
    assert [ref.version for ref in loaded.refs] == list(range(COMMITS - REMEMBERED_COMMITS + 1, COMMITS + 1))


def loads_a_version() -> None:
    loaded = load_version(LongStream(), COUNTER, "counter-1", COMMITS - 1)
    assert (loaded.version, loaded.state.total) == (COMMITS - 1, COMMITS - 1)


def takes_a_snapshot() -> None:
    taken = take_snapshot(LongStream(), COUNTER, "counter-1", COMMITS)
    assert taken is not None
    assert (taken.version, taken.state) == (COMMITS, f'{{"total":{COMMITS}}}')


def runs_a_command() -> None:
    assert CommandHandler(LongStream(), COUNTER).handle("1", Add(amount=1), Request(key="k")).version == COMMITS + 1


@pytest.mark.parametrize("work", [loads, loads_a_version, takes_a_snapshot, runs_a_command])
def test_what_a_load_takes_does_not_grow_with_the_stream(work: Any) -> None:
    with patch(HELD, 400_000):
        work()  # Once before, so that what is kept for good is not counted.
        assert peak(work) < 1_000_000  # The stream itself takes 8 MB.


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 20_000), st.data())
def test_a_load_gives_the_same_however_little_it_may_hold(sizes: list[int], held: int, data: st.DataObject) -> None:
    store, last = filled(*sizes), sum(sizes)
    version = data.draw(st.integers(1, last))
    with patch(HELD, held):
        assert load(store, COUNTER, "counter-1") == load_version(store, COUNTER, "counter-1", last)
        past = load_version(store, COUNTER, "counter-1", version)
    assert (past.version, past.state.total) == (version, sum(range(version + 1)))
    assert past.at == load_version(store, COUNTER, "counter-1", version).at


def test_a_snapshot_within_what_may_be_held_is_used() -> None:
    store = filled(3, 2, 1)
    take_snapshot(store, COUNTER, "counter-1", 6)
    watched = WatchedStore(store)
    with patch(HELD, 0):
        assert load(watched, COUNTER, "counter-1").snapshot_version == 6
    assert watched.taken == [6.5]


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_commit_is_named_wherever_it_is_missed(missing: int) -> None:
    store = filled(1, 1, 1, 1)
    del store._streams["counter-1"][missing]
    with patch(HELD, 2_000), pytest.raises(BrokenStreamError, match=f"stream 'counter-1', version {missing + 1}"):
        load(store, COUNTER, "counter-1")


def test_older_commits_from_a_replica_that_lags_are_read_again() -> None:
    class Lagging(MemoryEventStore):
        reads: list[bool] = []  # noqa: RUF012 - one instance

        def oldest_first(self, stream: str, *, consistent: bool = True, **more: Any) -> Iterator[Commit]:
            self.reads.append(consistent)
            commits = list(super().oldest_first(stream, **more))
            return iter(commits if consistent else commits[:1])

    store = Lagging()
    store._streams = filled(1, 1, 1, 1)._streams
    with patch(HELD, 2_000):
        assert load(store, COUNTER, "counter-1", consistent=False).version == 4
    assert store.reads == [False, True]
