"""A stale state may cost a retry, never a wrong answer: processes with their caches, on a store whose reads lag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfold import Backoff, CommandHandler, Commit, Request, load, take_snapshot
from eventfold.aggregates.caching import StateCache
from eventfold.aggregates.loading import Loaded
from eventfold.core.errors import IdempotencyKeyReusedError, PreconditionFailedError
from eventfold.memory import MemoryEventStore
from tests.domain import COUNTER, Add, Counter, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.core.store import Item

STREAM = "counter-1"


class LaggingStore(MemoryEventStore):
    """Eventually consistent reads lack the newest `lag` items, and with `torn` one in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.lag = 0
        self.torn = False
        self.reads: list[bool] = []
        self.writes = 0

    def append(self, commit: Commit, **more: Any) -> None:
        self.writes += 1
        super().append(commit, **more)

    def newest_first(self, stream: str, *, consistent: bool = True, **more: Any) -> Iterator[Item]:
        self.reads.append(consistent)
        items = list(super().newest_first(stream, **more))
        if not consistent:
            items = items[self.lag :]
            del items[1 : 2 if self.torn else 1]
        return iter(items)


def handler(store: LaggingStore, **more: Any) -> CommandHandler[Add, Counter, Any]:
    """Return what a process of its own has."""
    return CommandHandler(store, COUNTER, backoff=Backoff(base=0), **more)


@pytest.fixture
def store() -> LaggingStore:
    """Return a store with five commits, each adding 100,000."""
    store = LaggingStore()
    for _ in range(5):
        handler(store).handle("1", Add(amount=100_000))
    store.reads, store.writes = [], 0
    return store


def test_an_aggregate_that_a_process_knows_is_not_read_again(store: LaggingStore) -> None:
    process = handler(store)
    assert [process.handle("1", Add(amount=1)).version for _ in range(3)] == [6, 7, 8]
    assert (store.reads, store.writes) == ([False], 3)
    assert load(store, COUNTER, STREAM).state.total == 500_003


def test_without_a_cache_each_command_reads_at_half_price(store: LaggingStore) -> None:
    process = handler(store, cached_states=0)
    assert [process.handle("1", Add(amount=1)).version for _ in range(2)] == [6, 7]
    assert store.reads == [False, False]


def test_a_cached_state_that_another_process_has_overtaken_costs_a_lost_race(store: LaggingStore) -> None:
    process = handler(store)
    process.handle("1", Add(amount=1))
    handler(store).handle("1", Add(amount=5))
    store.reads, store.writes = [], 0
    outcome = process.handle("1", Add(amount=1))
    assert (outcome.version, outcome.conflicts) == (8, 1)
    assert (store.reads, store.writes) == ([], 2)


def test_a_refusal_on_a_stale_state_is_taken_back(store: LaggingStore) -> None:
    process = handler(store)
    process.handle("1", Add(amount=400_000))
    handler(store).handle("1", Add(amount=-800_000))
    store.reads = []
    assert process.handle("1", Add(amount=600_000)).version == 8
    assert store.reads == [True]


def test_a_refusal_is_proven_by_one_consistent_read(store: LaggingStore) -> None:
    with pytest.raises(TooMuchError):
        handler(store).handle("1", Add(amount=600_000))
    assert (store.reads, store.writes) == ([False, True], 0)


def test_nothing_to_do_is_proven_too(store: LaggingStore) -> None:
    assert handler(store).handle("1", Add(amount=0)).version == 5
    assert store.reads == [False, True]


def test_what_a_lagging_replica_allows_is_refused_once_the_winner_is_known(store: LaggingStore) -> None:
    store.lag = 2
    with pytest.raises(TooMuchError):
        handler(store).handle("1", Add(amount=600_000))
    assert store.writes == 2  # both lost to commits that the replica lacked
    assert load(store, COUNTER, STREAM).version == 5


def test_pages_of_replicas_that_differ_are_read_again(store: LaggingStore) -> None:
    store.torn = True
    assert handler(store).handle("1", Add(amount=1)).version == 6
    assert store.reads == [False, True]


def test_an_event_that_cannot_be_replayed_is_not_written(store: LaggingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    process = handler(store)
    process.handle("1", Add(amount=1))
    monkeypatch.setattr("tests.domain.Counter.__init__", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        process.handle("1", Add(amount=1))
    assert store.writes == 1


def test_the_least_recently_used_state_is_forgotten() -> None:
    cache: StateCache[Counter] = StateCache(2)
    for stream in ("a-1", "a-2"):
        cache.put(Loaded(stream, 1, Counter()))
    assert cache.get("a-1")
    cache.put(Loaded("a-3", 1, Counter()))
    assert [stream for stream in ("a-1", "a-2", "a-3") if cache.get(stream)] == ["a-1", "a-3"]


@dataclass(frozen=True)
class Step:
    """One command, sent to one of three processes while reads lag so far."""

    process: int
    amount: int
    key: str | None
    expected: int | None
    lag: int
    torn: bool
    snapshot: bool


steps = st.builds(
    Step,
    process=st.integers(0, 2),
    amount=st.sampled_from([0, 1, 400_000, -500_000]),
    key=st.sampled_from([None, None, "k1", "k2", "k3"]),
    expected=st.one_of(st.none(), st.integers(0, 8)),
    lag=st.integers(0, 3),
    torn=st.booleans(),
    snapshot=st.booleans(),
)


@given(st.lists(steps, max_size=25))
def test_every_answer_is_that_of_one_process_on_a_store_without_lag(sequence: list[Step]) -> None:
    store = LaggingStore()
    processes = [handler(store), handler(store), handler(store, cached_states=0)]
    total = version = 0
    made: dict[str, tuple[int, int]] = {}
    for step in sequence:
        store.lag, store.torn = step.lag, step.torn
        request = Request(key=step.key, expected_version=step.expected)
        try:
            outcome = processes[step.process].handle("1", Add(amount=step.amount), request)
            got: object = outcome.version
        except (TooMuchError, PreconditionFailedError, IdempotencyKeyReusedError) as refusal:
            got = type(refusal)
        known = made.get(step.key or "")
        if known is not None:
            assert got == (known[1] if known[0] == step.amount else IdempotencyKeyReusedError)
        elif step.expected not in (None, version):
            assert got is PreconditionFailedError
        elif total + step.amount > 1_000_000:
            assert got is TooMuchError
        else:
            if step.amount:
                total, version = total + step.amount, version + 1
            assert got == version
            if step.key and step.amount:
                made[step.key] = (step.amount, version)
        if step.snapshot:
            take_snapshot(store, COUNTER, STREAM, version)
    assert (load(store, COUNTER, STREAM).state.total, load(store, COUNTER, STREAM).version) == (total, version)
