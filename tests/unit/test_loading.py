"""From a stream to a state: replay, snapshots, past states."""

from __future__ import annotations

from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventfold import Commit, Decider, Head, Snapshot, load, load_at, load_version, take_snapshot
from eventfold.aggregates.history import read_events
from eventfold.core.errors import BrokenStreamError, UnknownEventError
from eventfold.memory import MemoryEventStore
from tests.domain import COUNTER, Added, Counter

if TYPE_CHECKING:
    from eventfold.core.store import Item

START = datetime(2026, 1, 1, tzinfo=UTC)


def filled(*sizes: int, stream: str = "counter-1") -> MemoryEventStore:
    """Return a store with commits of so many events; event n adds n, commit n is n seconds after the start."""
    store, version = MemoryEventStore(), 0
    for n, size in enumerate(sizes, start=1):
        events = tuple(COUNTER.codec.encode(Added(amount=version + i)) for i in range(1, size + 1))
        commit = Commit(stream, version + 1, events, f"c{n}", START + timedelta(seconds=n))
        store.append(commit, after=Head(stream, version))
        version += size
    return store


class WatchedStore(MemoryEventStore):
    """Says what a reader really took."""

    def __init__(self, other: MemoryEventStore) -> None:
        super().__init__()
        self._streams = other._streams
        self.taken: list[float] = []

    def newest_first(self, *args: object, **more: object):  # type: ignore[no-untyped-def] # noqa: ANN201
        def watch(item: Item) -> Item:
            self.taken.append(item.version + (0.5 if isinstance(item, Snapshot) else 0))
            return item

        return map(watch, super().newest_first(*args, **more))  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.lists(st.integers(1, 8), max_size=3), st.data())
def test_every_past_state_is_the_fold_of_its_events_with_any_snapshots(
    sizes: list[int], snapshots_after: list[int], data: st.DataObject
) -> None:
    store = MemoryEventStore()
    whole = filled(*sizes)
    for n, commit in enumerate(whole.oldest_first("counter-1"), start=1):
        store.append(commit, after=Head("counter-1", commit.version - 1))
        if n in snapshots_after:
            take_snapshot(store, COUNTER, "counter-1", commit.last_version)
    last = sum(sizes)
    assert load(store, COUNTER, "counter-1").state.total == sum(range(last + 1))
    version = data.draw(st.integers(1, last))
    past = load_version(store, COUNTER, "counter-1", version)
    assert (past.version, past.state.total) == (version, sum(range(version + 1)))
    commits = data.draw(st.integers(0, len(sizes)))
    then = load_at(store, COUNTER, "counter-1", START + timedelta(seconds=commits))
    assert (then.version, then.state.total) == (sum(sizes[:commits]), sum(range(sum(sizes[:commits]) + 1)))


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), max_size=9),
    st.lists(st.integers(1, 9), max_size=3),
    st.integers(-1, 20),
    st.integers(1, 3),
)
def test_a_moment_is_found_wherever_it_lies(
    commits: list[tuple[int, int]], snapshots_after: list[int], seconds: int, page: int
) -> None:
    store, head, then, expected = MemoryEventStore(), Head("counter-1", 0), START, 0
    moment = START + timedelta(seconds=seconds)
    for n, (size, later) in enumerate(commits):
        then += timedelta(seconds=later)
        events = (COUNTER.codec.encode(Added(amount=1)),) * size
        commit = Commit("counter-1", head.version + 1, events, f"c{n}", then)
        store.append(commit, after=head)
        head = commit.head
        expected = head.version if then <= moment else expected
        if n in snapshots_after:
            take_snapshot(store, COUNTER, "counter-1", head.version)
    with patch("eventfold.aggregates.loading.first_page", lambda: page):
        found = load_at(store, COUNTER, "counter-1", moment)
    assert (found.version, found.state.total) == (expected, expected)
    assert found.at is None or found.at <= moment


def test_a_moment_in_a_stream_that_lacks_commits_is_an_error_and_no_endless_search() -> None:
    store = filled(*(1,) * 40)
    for missing in (1, 2, 7, 8, 9, 20):
        del store._streams["counter-1"][missing]
    for seconds in range(3, 40):
        with pytest.raises(BrokenStreamError):
            load_at(store, COUNTER, "counter-1", START + timedelta(seconds=seconds))


def test_a_load_stops_at_the_newest_snapshot() -> None:
    store = filled(3, 2, 1)
    take_snapshot(store, COUNTER, "counter-1", 6)
    for n in (7, 8):
        event = COUNTER.codec.encode(Added(amount=n))
        store.append(Commit("counter-1", n, (event,), f"c{n}", START), after=Head("counter-1", n - 1))
    watched = WatchedStore(store)
    loaded = load(watched, COUNTER, "counter-1")
    assert watched.taken == [8, 7, 6.5]
    assert (loaded.version, loaded.state.total, loaded.snapshot_version) == (8, 36, 6)


def test_a_snapshot_of_another_schema_is_ignored_and_retaken() -> None:
    class Wider(BaseModel, frozen=True):
        total: int = 0
        events: int = 0

    def evolve(state: Wider, event: object) -> Wider:
        return Wider(total=state.total + event.amount, events=state.events + 1)  # type: ignore[attr-defined]

    store = filled(3, 2)
    assert take_snapshot(store, COUNTER, "counter-1", 5)
    wider = Decider("counter", Wider(), COUNTER.decide, evolve, COUNTER.events)  # type: ignore[arg-type]
    loaded = load(store, wider, "counter-1")
    assert (loaded.state, loaded.snapshot_version) == (Wider(total=15, events=5), 0)
    assert take_snapshot(store, wider, "counter-1", 5)
    assert load(store, wider, "counter-1").snapshot_version == 5


def test_a_snapshot_that_cannot_be_read_costs_a_longer_replay_and_no_answer() -> None:
    store = filled(3, 2)
    store.save_snapshot(Snapshot("counter-1", 5, COUNTER.schema, '{"total": "?"}', START))
    assert load(store, COUNTER, "counter-1").state == Counter(total=15)


def test_a_snapshot_is_taken_once_and_never_older_over_newer() -> None:
    store = filled(3, 2)
    taken = take_snapshot(store, COUNTER, "counter-1", 3)
    assert taken is not None
    assert taken.version == 5  # the stream as it is now, past the commit that was due
    assert take_snapshot(store, COUNTER, "counter-1", 3) is None
    assert take_snapshot(store, COUNTER, "counter-1", 5) is None
    assert take_snapshot(store, COUNTER, "counter-2", 5) is None
    event = COUNTER.codec.encode(Added(amount=6))
    store.append(Commit("counter-1", 6, (event,), "c", START), after=Head("counter-1", 5))
    assert take_snapshot(store, COUNTER, "counter-1", 5) is None  # the same record again, after another commit
    assert [i for i in store.newest_first("counter-1") if isinstance(i, Snapshot)] == [taken]


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_commit_is_an_error_that_names_stream_and_version(missing: int) -> None:
    store = filled(1, 1, 1, 1)
    del store._streams["counter-1"][missing]
    with pytest.raises(BrokenStreamError, match=f"stream 'counter-1', version {missing + 1}"):
        load(store, COUNTER, "counter-1")


def test_an_unknown_event_is_an_error_that_names_stream_and_version() -> None:
    store = filled(2, 1)
    (_, second) = store.oldest_first("counter-1")
    store._streams["counter-1"][3] = replace(second, events=({"type": "Gone", "v": 1, "data": {}},))
    with pytest.raises(UnknownEventError, match="stream 'counter-1', version 3"):
        load(store, COUNTER, "counter-1")


@given(st.lists(st.integers(1, 4), max_size=6), st.integers(0, 30), st.integers(1, 10))
def test_the_audit_trail_starts_behind_any_version_even_within_a_commit(
    sizes: list[int], after: int, limit: int
) -> None:
    store = filled(*sizes)
    versions = [one.version for one in read_events(store, COUNTER.codec, "counter-1", after=after, limit=limit)]
    assert versions == list(range(after + 1, sum(sizes) + 1))[:limit]


def test_the_audit_trail_is_right_across_snapshots() -> None:
    store = filled(2, 3)
    take_snapshot(store, COUNTER, "counter-1", 5)
    assert [one.version for one in read_events(store, COUNTER.codec, "counter-1", after=3)] == [4, 5]
    assert read_events(store, COUNTER.codec, "counter-1", after=5) == []
