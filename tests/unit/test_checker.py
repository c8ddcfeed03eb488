"""The history checker finds each fault that is planted, names its stream, and finds nothing where all is well."""

from __future__ import annotations

from copy import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from eventfold import Commit, Head, Snapshot
from eventfold.aggregates.snapshots import take_snapshot
from eventfold.core.errors import StoreUnavailableError, VersionConflictError
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.memory import MemoryEventStore, MemoryRowStore, MemoryTallyStore
from eventfold.read_models.projections import Row, RowTarget
from eventfold.read_models.tallies import Tally, TallyTarget
from eventfold.read_models.target import AnyTarget, Change
from eventfold.testing.checker import (
    Attempt,
    Ledger,
    Word,
    Wrong,
    check_rows,
    check_snapshots,
    check_streams,
    check_tally,
    read_table,
)
from eventfold.testing.faults import CrashError
from tests.conftest import EVENTS_TABLE
from tests.domain import COUNTER, TOTALS, Added, Counter

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AT = datetime(2026, 1, 1, tzinfo=UTC)
TALLY = Tally("adds", "counter", COUNTER.codec, lambda _: [("total", "adds", 1)])


def commit(version: int, amount: int = 1, stream: str = "counter-1", id_: str = "") -> Commit:
    event = COUNTER.codec.encode(Added(amount=amount))
    return Commit(stream, version, (event,), id_ or f"{stream}/{version}", AT)


def heard(word: Word, *commits: Commit) -> list[Attempt]:
    return [Attempt(one, word) for one in commits]


ALL = [commit(1), commit(2), commit(3), commit(1, 5, "counter-2")]
ACKNOWLEDGED = heard(Word.ACKNOWLEDGED, *ALL)


def found(attempts: list[Attempt], items: list[Commit]) -> list[tuple[str, Wrong]]:
    return [(one.stream, one.wrong) for one in check_streams(attempts, items)]


def test_a_true_history_has_no_findings() -> None:
    attempts = [*ACKNOWLEDGED, *heard(Word.REFUSED, commit(2, 9, id_="late"))]
    assert found(attempts, ALL[::-1]) == []


def test_an_acknowledged_commit_that_is_not_there_is_lost() -> None:
    assert found(ACKNOWLEDGED, ALL[:2] + ALL[3:]) == [("counter-1", Wrong.LOST)]
    assert found(ACKNOWLEDGED, ALL[:3]) == [("counter-2", Wrong.LOST)]


def test_an_acknowledged_commit_that_was_overwritten_is_lost() -> None:
    other = commit(3, id_="other")
    attempts = [*ACKNOWLEDGED, *heard(Word.UNKNOWN, other)]
    assert found(attempts, [*ALL[:2], other, ALL[3]]) == [("counter-1", Wrong.LOST)]
    changed = commit(3, 99)
    assert found(ACKNOWLEDGED, [*ALL[:2], changed, ALL[3]]) == [("counter-1", Wrong.LOST)]


def test_a_commit_in_two_places_is_doubled() -> None:
    again = replace(ALL[2], version=4)
    attempts = [*ACKNOWLEDGED, *heard(Word.ACKNOWLEDGED, again)]
    assert found(attempts, [*ALL, again]) == [("counter-1", Wrong.DOUBLED)] * 2


def test_a_refused_commit_in_the_table_is_found() -> None:
    refused = commit(4)
    assert found(ACKNOWLEDGED + heard(Word.REFUSED, refused), [*ALL, refused]) == [
        ("counter-1", Wrong.REFUSED_YET_STORED)
    ]


def test_a_commit_that_nobody_sent_is_found() -> None:
    assert found(ACKNOWLEDGED, [*ALL, commit(4)]) == [("counter-1", Wrong.NEVER_ATTEMPTED)]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_gap_is_found(missing: int) -> None:
    attempts = [one for one in ACKNOWLEDGED if one.commit != ALL[missing]]
    assert found(attempts, [one for one in ALL if one != ALL[missing]]) == [("counter-1", Wrong.OUT_OF_LINE)]


def test_an_overlap_is_found() -> None:
    event = ALL[0].events[0]
    long = replace(ALL[1], events=(event, event))
    attempts = heard(Word.ACKNOWLEDGED, ALL[0], long, *ALL[2:])
    assert found(attempts, [ALL[0], long, *ALL[2:]]) == [("counter-1", Wrong.OUT_OF_LINE)]


def test_the_unknown_may_be_there_or_not() -> None:
    unknown = heard(Word.UNKNOWN, commit(4))
    assert found(ACKNOWLEDGED + unknown, ALL) == []
    assert found(ACKNOWLEDGED + unknown, [*ALL, commit(4)]) == []
    # The first try got no answer and had written; the second ran into another winner's word.
    assert found(ACKNOWLEDGED + unknown + heard(Word.REFUSED, commit(4)), [*ALL, commit(4)]) == []


def test_a_ledger_notes_what_a_writer_was_told() -> None:
    class Store(MemoryEventStore):
        failure: BaseException | None = None

        def append(self, commit: Commit, *, after: Head | None) -> None:
            if self.failure:
                raise self.failure
            super().append(commit, after=after)

    inner, ledger = Store(), Ledger()
    store = ledger.watch(inner)
    store.append(commit(1), after=Head("counter-1", 0))
    with pytest.raises(VersionConflictError):
        store.append(commit(1, id_="other"), after=Head("counter-1", 0))
    for failure in (StoreUnavailableError("throttled"), CrashError(), ZeroDivisionError()):
        inner.failure = failure
        with pytest.raises(type(failure)):
            store.append(commit(2), after=Head("counter-1", 1))
    assert [attempt.word for attempt in ledger.attempts] == [
        Word.ACKNOWLEDGED,
        Word.REFUSED,
        Word.UNKNOWN,
        Word.UNKNOWN,
        Word.UNKNOWN,
    ]
    assert list(store.oldest_first("counter-1")) == [commit(1)]


def feed(target: AnyTarget, *commits: Commit) -> None:
    """Write what a new stream's commits make."""
    folded = target.fold(None, [recorded for one in commits for recorded in COUNTER.codec.recorded(one)])
    target.save([Change(commits[0].stream, None, folded)])


@pytest.fixture
def rows() -> MemoryRowStore:
    rows = MemoryRowStore()
    target = RowTarget(TOTALS, rows)
    for stream in ("counter-1", "counter-2"):
        feed(target, *(one for one in ALL if one.stream == stream))
    return rows


def rows_found(rows: dict[str, Row]) -> list[tuple[str, Wrong]]:
    return [(one.stream, one.wrong) for one in check_rows(TOTALS, ALL, rows)]


def test_rows_that_are_the_fold_of_the_events_are_well(rows: MemoryRowStore) -> None:
    assert rows_found(rows.get("totals", ["counter-1", "counter-2"])) == []


def test_a_row_that_is_missing_behind_different_or_too_many_is_found(rows: MemoryRowStore) -> None:
    true = rows.get("totals", ["counter-1", "counter-2"])
    row = true["counter-1"]
    for wrong in (
        {"counter-2": true["counter-2"]},
        true | {"counter-1": replace(row, version=2)},
        true | {"counter-1": replace(row, data='{"total":4}')},
        true | {"counter-1": replace(row, data=None, sort=None)},
        true | {"counter-1": replace(row, sort="elsewhere")},
    ):
        assert rows_found(wrong) == [("counter-1", Wrong.DIFFERING)]
    assert rows_found(true | {"counter-9": replace(row, stream="counter-9")}) == [("counter-9", Wrong.DIFFERING)]


def test_a_counter_that_is_not_the_recount_is_found() -> None:
    tallies = MemoryTallyStore()
    target = TallyTarget(TALLY, tallies)
    feed(target, *ALL[:3])
    feed(target, ALL[3])
    counted = tallies.totals("adds", ["total"])
    assert check_tally(TALLY, ALL, counted) == []
    for wrong in ({"total": {"adds": 5}}, {"total": {"adds": 3}}, {}, counted | {"more": {"adds": 1}}):
        (finding,) = check_tally(TALLY, ALL, wrong)
        assert finding.wrong is Wrong.DIFFERING
    assert str(check_tally(TALLY, ALL, {})[0]) == "total: differing: adds adds is 0, not 4"


def test_a_snapshot_that_is_not_the_replay_is_found() -> None:
    store = MemoryEventStore()
    for one in ALL[:3]:
        store.append(one, after=Head("counter-1", one.version - 1))
    snapshot = take_snapshot(store, COUNTER, "counter-1", 3)
    assert isinstance(snapshot, Snapshot)
    assert check_snapshots(COUNTER, [*ALL, snapshot]) == []
    wrong_state = replace(snapshot, state=Counter(total=4).model_dump_json())
    assert [one.stream for one in check_snapshots(COUNTER, [*ALL, wrong_state])] == ["counter-1"]
    assert [one.wrong for one in check_snapshots(COUNTER, [*ALL, replace(snapshot, version=4)])] == [Wrong.DIFFERING]


def test_a_table_is_read_past_the_store(moto_client: DynamoDBClient) -> None:
    store = DynamoDBEventStore(moto_client, EVENTS_TABLE)
    for one in ALL[:3]:
        store.append(one, after=Head("counter-1", one.version - 1))
    assert list(read_table(moto_client, EVENTS_TABLE)) == ALL[:3]
