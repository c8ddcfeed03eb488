"""What a check of a read model remembers: how far it has counted, and not too much of what is behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit, Head
from eventfold.memory import MemoryEventStore, MemoryRowStore, MemoryTallyStore
from eventfold.operations.verify.read_models import Fold, ReadModelCheck
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.tallies import Checkpoint, Tally, TallyTarget
from tests.domain import COUNTER, TOTALS, Added, Closed

if TYPE_CHECKING:
    from eventfold.operations.verify.finding import Finding
    from eventfold.read_models.target import AnyTarget

AT = datetime(2026, 1, 1, tzinfo=UTC)
OPEN: Tally[Any] = Tally(
    "open", "counter", COUNTER.codec, lambda one: [("all", "open", -1 if isinstance(one.event, Closed) else 1)]
)


def fold(target: AnyTarget, store: MemoryEventStore, id_: str, *events: Added | Closed) -> Fold:
    """Append a stream of one commit, and fold it."""
    stored = tuple(COUNTER.codec.encode(event) for event in events)
    commit = Commit(f"counter-{id_}", 1, stored, id_, AT)
    store.append(commit, after=Head(commit.stream, 0))
    done = Fold(target, commit.stream)
    done.see(COUNTER.codec.recorded(commit))
    return done


def no_wait(_: float) -> None:
    """Nothing moves in memory."""


def test_a_tally_s_streams_are_recounted_and_remembered() -> None:
    store, tallies = MemoryEventStore(), MemoryTallyStore()
    target = TallyTarget(OPEN, tallies)
    check = ReadModelCheck(target, store, wait=no_wait)
    folds = [fold(target, store, "1", Added(amount=1), Closed()), fold(target, store, "2", Added(amount=1))]
    for one in folds:
        tallies.add("open", {}, {Checkpoint(one.stream, one.version): None})
    assert list(check.check(folds[1:])) == []
    assert (check.recount.counts, check.recount.seen) == ({"all": {"open": 1}}, {"counter-2": 1})
    assert list(check.check(folds[:1])) == []
    assert (check.recount.counts, check.recount.seen) == ({"all": {"open": 1}}, {"counter-1": 2, "counter-2": 1})


def test_streams_that_are_behind_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventfold.operations.verify.read_models._WAITING", 3)
    store = MemoryEventStore()
    target = RowTarget(TOTALS, MemoryRowStore())
    check = ReadModelCheck(target, store, wait=no_wait, tries=2)
    found: list[list[Finding]] = [list(check.check([fold(target, store, str(n), Added(amount=1))])) for n in range(7)]
    assert [len(some) for some in found] == [0, 0, 3, 0, 0, 3, 0]
    assert [(one.stream, one.what) for one in check.recheck()] == [("counter-6", "is missing")]
