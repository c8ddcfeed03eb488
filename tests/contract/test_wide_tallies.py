"""Tallies of many rows: a commit that one transaction does not take, and a rebuild whose recount no item takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit, Head
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.keys import DynamoDBKeyListing
from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.memory import MemoryEventStore, MemoryParkedStore, MemoryTallyStore
from eventfold.operations.reading import TableSource
from eventfold.operations.rebuild.filling import Filler
from eventfold.operations.rebuild.steps import Rebuild, job
from eventfold.operations.rebuild.verification import Prover
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Checkpoint, Tally, TallyTarget
from eventfold.testing import Meter
from tests.conftest import READ_MODELS_TABLE
from tests.domain import COUNTER, Added
from tests.rebuilds import AT, AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold import Recorded
    from eventfold.read_models.tallies import Counts, TallyStore

ROWS = 250
"""What an event touches, beside one row that has more counters than an expression takes."""
COUNTERS = 350
TRANSACTIONS = 6
"""99 rows and then again; the row of many counters is in four of them."""


def wide(recorded: Recorded[Any]) -> Iterator[tuple[str, str, int]]:
    for row in range(ROWS):
        yield f"row {row}", "n", recorded.event.amount
    for counter in range(COUNTERS):
        yield "all", f"counter {counter}", 1


WIDE: Tally[Any] = Tally("wide", "counter", COUNTER.codec, wide)


def commit(store: MemoryEventStore, id_: str, version: int, amount: int = 1) -> Commit:
    one = Commit(f"counter-{id_}", version, (COUNTER.codec.encode(Added(amount=amount)),), f"{id_}/{version}", AT)
    store.append(one, after=Head(one.stream, version - 1))
    return one


def expected(amount: int, events: int) -> Counts:
    rows = {f"row {row}": {"n": amount} for row in range(ROWS)}
    return rows | {"all": {f"counter {counter}": events for counter in range(COUNTERS)}}


@pytest.fixture(params=["memory", "moto", pytest.param("local", marks=pytest.mark.dynamodb_local)])
def tallies(request: pytest.FixtureRequest) -> TallyStore:
    if request.param == "memory":
        return MemoryTallyStore()
    if request.param == "moto":
        return DynamoDBTallyStore(request.getfixturevalue("moto_client"), READ_MODELS_TABLE, shards=1)
    client = request.getfixturevalue("local_client")
    return DynamoDBTallyStore(client, request.getfixturevalue("local_tables")[1], shards=1)


@pytest.fixture
def events() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def runner(events: MemoryEventStore) -> ProjectionRunner:
    return ProjectionRunner(events, MemoryParkedStore(), writers=1)


def stored(target: TallyTarget[Any]) -> Counts:
    return target.totals(["all", *(f"row {row}" for row in range(ROWS))])


def test_a_commit_that_no_transaction_takes_goes_in_several(
    tallies: TallyStore, events: MemoryEventStore, runner: ProjectionRunner
) -> None:
    target = TallyTarget(WIDE, tallies)
    batch = [commit(events, "1", version, amount) for version, amount in ((1, 3), (2, -1))]
    assert runner.run(target, batch).parked == {}
    assert stored(target) == expected(2, 2)
    assert target.read(["counter-1"]) == {"counter-1": Checkpoint("counter-1", 2)}
    assert runner.run(target, batch).duplicates == 2
    assert stored(target) == expected(2, 2)


@pytest.mark.parametrize("how", ["not carried out", "answer lost"])
def test_one_that_ends_in_the_middle_goes_on_there(
    tallies: TallyStore, events: MemoryEventStore, runner: ProjectionRunner, how: str
) -> None:
    """At each of its transactions: a process that dies, or an answer that is lost."""
    target, add, calls = TallyTarget(WIDE, tallies), tallies.add, 0

    def failing(*args: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        fails = calls % 2 == 0
        if not (fails and how == "not carried out"):
            add(*args, **named)
        if fails:
            raise StoreUnavailableError(how)

    batch = [commit(events, "1", 1, 5)]
    tallies.add = failing  # type: ignore[method-assign] # in its place
    steps = set()
    while runner.run(target, batch).parked:
        steps.add(target.read(["counter-1"])["counter-1"])
    assert {one.version for one in steps} <= {0, 1}
    assert len({one.step for one in steps if one.version == 0}) >= 2
    assert stored(target) == expected(5, 1)


def test_two_at_work_on_one_commit_count_it_once(events: MemoryEventStore, runner: ProjectionRunner) -> None:
    tallies = MemoryTallyStore()
    target, add, others = TallyTarget(WIDE, tallies), tallies.add, iter([False, True, False, True])

    def overtaken(*args: Any, **named: Any) -> None:
        if next(others, False):
            one = target.read(["counter-1"])["counter-1"]
            folded = target.fold(one, COUNTER.codec.recorded(batch[0]))
            assert folded is not None
            checkpoint, counts = folded.steps[0]
            add("wide", counts, {checkpoint: one})
        add(*args, **named)

    batch = [commit(events, "1", 1, 5)]
    tallies.add = overtaken  # type: ignore[method-assign] # in its place
    assert runner.run(target, batch).parked == {}
    assert stored(target) == expected(5, 1)


@pytest.mark.dynamodb_local
def test_a_commit_costs_a_transaction_for_each_99_rows(
    local_client: DynamoDBClient, local_tables: tuple[str, str], events: MemoryEventStore, runner: ProjectionRunner
) -> None:
    target = TallyTarget(WIDE, DynamoDBTallyStore(local_client, local_tables[1], shards=1))
    one = commit(events, "1", 1)
    with Meter.on(local_client) as meter:
        assert runner.run(target, [one]).parked == {}
    # The first one of a process says over how many items counters are spread.
    assert meter.requests == ["BatchGetItem", "UpdateItem", *["TransactWriteItems"] * TRANSACTIONS]


LONG = "a row whose name is as long as it may well be, since it says all that is counted by, and more " * 2


@pytest.mark.dynamodb_local
def test_a_tally_whose_recount_no_item_takes_is_rebuilt(
    local_client: DynamoDBClient, local_tables: tuple[str, str], events: MemoryEventStore, runner: ProjectionRunner
) -> None:
    """3,000 rows with long names are what 16,000 with short ones are: over 400 KB."""
    table = local_tables[1]
    tally: Tally[Any] = Tally(
        "wide", "counter", COUNTER.codec, lambda one: [(f"{LONG}{one.stream}{row}", "n", 1) for row in range(1000)]
    )
    target = TallyTarget(tally, DynamoDBTallyStore(local_client, table, shards=1))
    for id_ in ("1", "2", "3"):
        runner.run(target, [commit(events, id_, 1)])
    rebuild = Rebuild(
        target,
        runner,
        events,
        DynamoDBKeyListing(local_client, table, ["wide"]),
        MemoryParkedStore(),
        DynamoDBRebuildStore(local_client, table),
        "me",
        AT_ONCE,
    )
    source = TableSource(events, 1)
    generation = rebuild.begin("table", 1)
    assert Filler(runner).fill(job(rebuild, generation, "fill", source), 0).done
    proven = Prover(events, runner, target).prove(job(rebuild, rebuild.filled(2), "verify", source), 0)
    assert proven.done
    assert len(proven.page_names) >= 2
    assert rebuild.verified(2).unjudged == ()
    rows = [f"{LONG}counter-{id_}{row}" for id_ in (1, 2, 3) for row in range(1000)]
    assert target.at(2).totals(rows) == {row: {"n": 1} for row in rows}
