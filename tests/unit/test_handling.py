"""Command handling: one read, one write; races, repeats and preconditions."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from eventfold import Backoff, CommandHandler, Commit, Head, Request, load, take_snapshot
from eventfold.core.errors import (
    IdempotencyKeyReusedError,
    InvalidCommitError,
    PreconditionFailedError,
    TooManyConflictsError,
    VersionConflictError,
)
from eventfold.memory import MemoryEventStore
from tests.domain import COUNTER, Add, Added, Closed, Counter, TooMuchError

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 1, 12, 0, 0, 123999, tzinfo=UTC)
AT_ONCE = Backoff(attempts=8, base=0)


class RacingStore(MemoryEventStore):
    """Before each append something else may happen, as it would with other writers."""

    def __init__(self) -> None:
        super().__init__()
        self.before_append: Callable[[], None] = lambda: None
        self.reads = 0
        self.writes = 0

    def append(self, commit: Commit, *, after: Head | None) -> None:
        self.writes += 1
        before, self.before_append = self.before_append, lambda: None
        before()
        super().append(commit, after=after)

    def newest_first(self, *args: object, **more: object):  # type: ignore[no-untyped-def] # noqa: ANN201
        self.reads += 1
        return super().newest_first(*args, **more)  # type: ignore[arg-type]


@pytest.fixture
def store() -> RacingStore:
    return RacingStore()


@pytest.fixture
def handler(store: RacingStore) -> CommandHandler[Add, Counter, Added | Closed]:
    return CommandHandler(store, COUNTER, snapshot_every=10, backoff=AT_ONCE, clock=lambda: NOW)


type Handler = CommandHandler[Add, Counter, Added | Closed]


def total(store: MemoryEventStore) -> int:
    return load(store, COUNTER, "counter-1").state.total


def test_a_command_is_one_read_and_one_write(store: RacingStore, handler: Handler) -> None:
    outcome = handler.handle("1", Add(amount=2, times=3), Request(meta={"actor": "me"}))
    assert (outcome.version, outcome.appended, outcome.conflicts, outcome.repeated) == (3, 3, 0, False)
    assert (store.reads, store.writes) == (1, 1)
    (commit,) = store.oldest_first("counter-1")
    assert commit.meta == {"actor": "me"}
    assert commit.at == NOW.replace(microsecond=123000)


def test_a_command_on_a_new_aggregate_is_one_write_and_no_read(store: RacingStore, handler: Handler) -> None:
    outcome = handler.handle("1", Add(amount=2), Request(new=True))
    assert (outcome.version, outcome.appended) == (1, 1)
    assert (store.reads, store.writes) == (0, 1)


def test_what_was_called_new_and_is_not_is_found_by_the_write(store: RacingStore, handler: Handler) -> None:
    for _ in range(5):
        CommandHandler(store, COUNTER).handle("1", Add(amount=199_999))
    with pytest.raises(TooMuchError):
        handler.handle("1", Add(amount=6), Request(new=True))
    outcome = handler.handle("1", Add(amount=1), Request(new=True))
    assert (outcome.version, outcome.appended) == (6, 1)
    assert total(store) == 999_996


def test_a_key_is_looked_for_even_on_a_new_aggregate(store: RacingStore, handler: Handler) -> None:
    first = CommandHandler(store, COUNTER).handle("1", Add(amount=2), Request(key="k", new=True))
    again = handler.handle("1", Add(amount=2), Request(key="k", new=True))
    assert (first.repeated, again.repeated) == (False, True)
    assert (store.reads, store.writes) == (2, 1)


def test_no_event_is_no_write(store: RacingStore, handler: Handler) -> None:
    assert handler.handle("1", Add(amount=0)).version == 0
    assert store.writes == 0


def test_a_refused_command_writes_nothing(store: RacingStore, handler: Handler) -> None:
    with pytest.raises(TooMuchError):
        handler.handle("1", Add(amount=2_000_000))
    assert store.writes == 0


def test_a_lost_race_is_decided_again_on_the_winner_without_a_read(store: RacingStore, handler: Handler) -> None:
    other = CommandHandler(store, COUNTER, backoff=AT_ONCE)
    store.before_append = lambda: void(other.handle("1", Add(amount=5)))
    outcome = handler.handle("1", Add(amount=1))
    assert (outcome.version, outcome.conflicts) == (2, 1)
    assert total(store) == 6
    assert store.reads == 1 + 1 + 1  # ours, the other's, and that of `total`


def test_a_race_lost_to_a_commit_that_changes_the_decision_is_refused(store: RacingStore, handler: Handler) -> None:
    other = CommandHandler(store, COUNTER, backoff=AT_ONCE)
    store.before_append = lambda: void(other.handle("1", Add(amount=999_999)))
    with pytest.raises(TooMuchError):
        handler.handle("1", Add(amount=2))
    assert total(store) == 999_999


def test_a_conflict_without_a_winner_is_caught_up_by_reading(store: RacingStore, handler: Handler) -> None:
    other = CommandHandler(store, COUNTER, backoff=AT_ONCE)

    def race_unnamed() -> None:
        other.handle("1", Add(amount=5))
        other.handle("1", Add(amount=5))
        raise VersionConflictError("counter-1", 1, None)

    store.before_append = race_unnamed
    assert handler.handle("1", Add(amount=1)).version == 3
    assert total(store) == 11


def test_races_lost_at_every_attempt_end() -> None:
    class Hopeless(RacingStore):
        def append(self, commit: Commit, *, after: Head | None) -> None:
            winner = replace(commit, id="other")
            raise VersionConflictError(commit.stream, commit.version, winner)

    handler = CommandHandler(Hopeless(), COUNTER, backoff=Backoff(attempts=3, base=0))
    with pytest.raises(TooManyConflictsError) as caught:
        handler.handle("1", Add(amount=1))
    assert caught.value.attempts == 3


@pytest.mark.parametrize(("attempts", "deadline"), [(1, math.inf), (8, 0)])
def test_a_race_lost_for_good_to_one_s_own_earlier_commit_is_a_repeat(
    store: RacingStore, attempts: int, deadline: float
) -> None:
    request = Request(key="k", caller="me", deadline=deadline)
    older_code = replace(COUNTER, decide=lambda command, _: [Added(amount=command.amount), Added(amount=0)])
    first = CommandHandler(store, older_code, backoff=AT_ONCE)
    handler = CommandHandler(store, COUNTER, backoff=Backoff(attempts=attempts, base=0))
    store.before_append = lambda: void(first.handle("1", Add(amount=5), request))
    assert handler.handle("1", Add(amount=5), request) == (2, 0, 1, True)
    assert total(store) == 5


def test_a_key_that_snapshots_could_not_keep_is_refused(store: RacingStore, handler: Handler) -> None:
    for key in ("k" * 513, "\N{GREEK SMALL LETTER ALPHA}" * 257):
        with pytest.raises(InvalidCommitError, match="at most 512 bytes"):
            handler.handle("1", Add(amount=1), Request(key=key))
    assert handler.handle("1", Add(amount=1), Request(key="k" * 512)).version == 1


def test_after_the_deadline_a_lost_race_is_not_run_again(store: RacingStore, handler: Handler) -> None:
    other = CommandHandler(store, COUNTER, backoff=AT_ONCE)
    store.before_append = lambda: void(other.handle("1", Add(amount=5)))
    with pytest.raises(TooManyConflictsError) as caught:
        handler.handle("1", Add(amount=1), Request(deadline=0))
    assert caught.value.attempts == 1
    assert handler.handle("1", Add(amount=1), Request(deadline=0)).version == 2  # one that is not lost still runs


def test_the_backoff_grows_to_its_cap_with_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    for attempt in range(7):
        Backoff(base=0.01, cap=0.32).wait(attempt)
    assert slept == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.16]


def test_time_never_runs_backwards_within_a_stream(store: RacingStore, handler: Handler) -> None:
    handler.handle("1", Add(amount=1))
    late = CommandHandler(store, COUNTER, clock=lambda: NOW - timedelta(hours=1))
    late.handle("1", Add(amount=1))
    first, second = store.oldest_first("counter-1")
    assert second.at == first.at


def test_the_commit_that_crosses_a_boundary_is_due(store: RacingStore, handler: Handler) -> None:
    for times in (9, 1, 5, 14, 11, 1):  # versions 9, 10, 15, 29, 40, 41 at an interval of 10
        handler.handle("1", Add(amount=1, times=times))
    due = {commit.last_version for commit in store.oldest_first("counter-1") if commit.snapshot_due}
    assert due == {10, 29, 40}


class TestExpectedVersion:
    def test_a_command_runs_at_the_expected_version(self, handler: Handler) -> None:
        handler.handle("1", Add(amount=1), Request(expected_version=0))
        assert handler.handle("1", Add(amount=1), Request(expected_version=1)).version == 2

    def test_at_another_version_it_does_not(self, store: RacingStore, handler: Handler) -> None:
        handler.handle("1", Add(amount=1))
        with pytest.raises(PreconditionFailedError) as caught:
            handler.handle("1", Add(amount=1), Request(expected_version=2))
        assert (caught.value.expected, caught.value.actual) == (2, 1)
        assert total(store) == 1

    def test_a_lost_race_fails_it(self, store: RacingStore, handler: Handler) -> None:
        other = CommandHandler(store, COUNTER)
        store.before_append = lambda: void(other.handle("1", Add(amount=5)))
        with pytest.raises(PreconditionFailedError):
            handler.handle("1", Add(amount=1), Request(expected_version=0))
        assert total(store) == 5


class TestIdempotencyKey:
    def test_a_repeat_answers_as_the_first_did_and_appends_nothing(self, store: RacingStore, handler: Handler) -> None:
        first = handler.handle("1", Add(amount=1, times=2), Request(key="k"))
        handler.handle("1", Add(amount=7))
        again = handler.handle("1", Add(amount=1, times=2), Request(key="k"))
        assert (again.version, again.repeated, again.appended) == (first.version, True, 0)
        assert total(store) == 9

    def test_a_repeat_is_known_before_its_precondition_fails(self, handler: Handler) -> None:
        handler.handle("1", Add(amount=1), Request(key="k", expected_version=0))
        assert handler.handle("1", Add(amount=1), Request(key="k", expected_version=0)).repeated

    @pytest.mark.parametrize(
        ("command", "actor"), [(Add(amount=2), "me"), (Add(amount=1, times=2), "me"), (Add(amount=1), "somebody else")]
    )
    def test_the_key_of_another_command_or_caller_is_refused(self, handler: Handler, command: Add, actor: str) -> None:
        handler.handle("1", Add(amount=1), Request(key="k", caller="me"))
        with pytest.raises(IdempotencyKeyReusedError):
            handler.handle("1", command, Request(key="k", caller=actor))

    def test_a_repeat_that_races_the_first_is_known(self, store: RacingStore, handler: Handler) -> None:
        other = CommandHandler(store, COUNTER)
        store.before_append = lambda: void(
            other.handle("1", Add(amount=5)), other.handle("1", Add(amount=1), Request(key="k"))
        )
        outcome = handler.handle("1", Add(amount=1), Request(key="k"))
        assert outcome.version == 2
        assert total(store) == 6

    def test_the_same_key_at_once_is_one_commit(self, store: RacingStore, handler: Handler) -> None:
        other = CommandHandler(store, COUNTER)
        store.before_append = lambda: void(other.handle("1", Add(amount=1), Request(key="k")))
        assert handler.handle("1", Add(amount=1), Request(key="k")).version == 1
        assert total(store) == 1

    def test_keys_are_known_for_the_last_100_keyed_commits_across_snapshots(self, store: RacingStore) -> None:
        handler = CommandHandler(store, COUNTER, snapshot_every=50, cached_states=0)
        for n in range(151):
            outcome = handler.handle("1", Add(amount=1), Request(key=f"k{n}"))
            if outcome.version % 50 == 0:
                assert take_snapshot(store, COUNTER, "counter-1", outcome.version)
        loaded = load(store, COUNTER, "counter-1")
        assert (loaded.version, loaded.snapshot_version) == (151, 150)
        assert handler.handle("1", Add(amount=1), Request(key="k51")).repeated  # the oldest of the last 100
        assert not handler.handle("1", Add(amount=1), Request(key="k50")).repeated  # outside the window


def test_16_writers_on_one_stream_lose_nothing_and_double_nothing(store: RacingStore) -> None:
    handler = CommandHandler(store, COUNTER, backoff=Backoff(attempts=200, base=0.0001, cap=0.001))
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda n: handler.handle("1", Add(amount=n + 1)), range(160)))
    assert sorted(outcome.version for outcome in outcomes) == list(range(1, 161))
    assert total(store) == sum(range(161))


def void(*_: object) -> None:
    """Run for the effect."""
