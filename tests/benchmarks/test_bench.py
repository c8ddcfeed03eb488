"""The bench itself: one small round of eventfold and plain boto3, and what is made of the figures."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from benchmarks import checks, costs, main, page
from benchmarks.kinds import EVENTUAL, LONG, OURS, OURS_AND_PLAIN, PLAIN, TRANSACTION, WARM
from benchmarks.runners import BrokenError, Counted
from benchmarks.targets import judge
from benchmarks.worker import transacted
from benchmarks.workloads import Measured, Sizes
from local.toolchain import StepError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Results

SMALL = Sizes(
    near=8,
    long=40,
    pages=30,
    streams=4,
    each=5,
    calls=2,
    writers=2,
    commands=3,
    lengths=(10, 60, 200),
    lists=((120, 4), (300, 8)),
    warm_up_seconds=0,
)
KEYS = set("ABCDEFGNWHLR")


@pytest.fixture(scope="session")
def results(dynamodb_local_url: str) -> Results:
    """One round of everything but the cold start, which needs the built artifact."""
    assert dynamodb_local_url  # DynamoDB Local can run here
    return main.run(OURS_AND_PLAIN, SMALL, 1, KEYS, lambda _: None)


@pytest.mark.dynamodb_local
def test_every_workload_is_measured_and_nothing_is_wrong(results: Results) -> None:
    assert results.faults == {kind.name: [] for kind in OURS_AND_PLAIN if kind.name in results.faults}
    assert set(results.rows) | {"L", "R"} == KEYS
    for key, row in results.rows.items():
        all_that_do = {kind for kind in OURS_AND_PLAIN if kind.does(key)}
        expected = {"H": {LONG}, "W": {OURS, WARM}}.get(key, all_that_do)
        assert {kind.name for kind in expected} == set(row), key
        for name, one in row.items():
            assert not one.missing, (key, name, one.missing)
            assert all(seconds > 0 for seconds in one.cpu + one.wall)
            assert one.cost.requests


@pytest.mark.dynamodb_local
def test_a_profile_says_where_the_cpu_goes(results: Results) -> None:
    shares = results.profiles["N"]
    assert sum(shares.values()) == pytest.approx(1)
    assert {"botocore", "HTTP", "JSON and models", "eventfold", "evolve, decide"} <= set(shares)
    assert all(share > 0 for share in shares.values())
    assert not {key for key in results.profiles if key not in results.rows}


@pytest.mark.dynamodb_local
def test_costs_are_counted_on_the_real_store(results: Results) -> None:
    rows = results.rows
    assert rows["A"][OURS.name].cost == Counted(["PutItem"], 0, 1)
    assert rows["B"][PLAIN.name].cost == Counted(["Query", "PutItem"], 2 * rows["B"][OURS.name].cost.read, 1)
    assert rows["B"][WARM.name].cost == Counted(["PutItem"], 0, 1)
    assert rows["C"][TRANSACTION.name].cost == Counted(["TransactWriteItems"], 0, 10)
    assert rows["E"][OURS.name].cost.read == 2 * rows["E"][EVENTUAL.name].cost.read
    assert sorted(rows["H"][LONG.name].cost.requests) == ["BatchGetItem", *["PutItem"] * 10]
    assert rows["H"][LONG.name].cost.written == 10


@pytest.mark.dynamodb_local
def test_the_page_is_written(results: Results, tmp_path: Path) -> None:
    written = page.write(results, judge(results), tmp_path).read_text()
    assert "eventfold" in written
    assert "## Dollars for a million" in written


@pytest.mark.dynamodb_local
def test_a_missed_target_or_a_fault_of_ours_fails_the_run(results: Results) -> None:
    found = deepcopy(results)
    found.rows = {"A": {kind.name: Measured(Counted(["PutItem"], 0, 1), [2.0], [2.0]) for kind in (PLAIN, OURS)}}
    found.lengths, found.rebuild = {}, []
    assert main.show(found, whole=False) == 1
    found.rows["A"][OURS.name].cpu = [0.9]
    assert main.show(found, whole=False) == 0
    found.faults[OURS.name] = ["lost an event"]
    assert main.show(found, whole=False) == 1
    found.faults = {PLAIN.name: ["lost an event"]}
    assert main.show(found, whole=False) == 0
    found.rows["A"][OURS.name].cost = Counted(["Query", "PutItem"], 0.5, 1)
    assert main.show(found, whole=False) == 1


class Lossy:
    """A worker of a peer that cuts a stream at 20 events, tells both of two writers yes, and overwrites."""

    kind = OURS

    def ask(self, do: str, *_: object) -> object:
        return [2, 1, 2] if do == "duel" else None

    def call(self, method: str, *arguments: object) -> object:
        events = 5 if arguments[0] == "five" else 20
        return (events, f"Ada Lovelace {events:06}", events * (events + 1) // 2) if method == "load" else None


class Refusing(Lossy):
    """A worker that refuses a stale writer, and leaves what came before."""

    def ask(self, do: str, *_: object) -> object:
        return [1, 1, 0] if do == "duel" else None

    def call(self, method: str, *arguments: object) -> object:
        if method == "append" and arguments[1:] == (5, 0):
            raise BrokenError("conflict")
        return super().call(method, *arguments)


def test_what_a_peer_loses_is_said_with_its_number() -> None:
    assert checks.faults_of(Lossy(), SMALL) == [  # type: ignore[arg-type] # what a check uses of a worker
        "returned 20 of 40 events",
        "a stream over 1 MB: returned 20 of 30 events",
        "two writers of one version: both were told yes 2 times of 3",
        "a stale writer's five events overwrote another's three, and neither was told",
    ]
    assert checks.faults_of(Refusing(), SMALL)[2:] == [  # type: ignore[arg-type] # as above
        "two writers of one version: neither won 1 times of 3",
        "a refused commit left 17 of its events",
    ]


def test_an_item_in_a_transaction_is_two_units_a_kb() -> None:
    assert transacted({"stream": {"S": "s"}, "version": {"N": "1"}}) == 2
    assert transacted({"events": {"S": "x" * 1018}}) == 2
    assert transacted({"events": {"S": "x" * 1019}}) == 4


def test_dollars_are_units_at_their_price() -> None:
    assert costs.dollars(Counted([], read=2, written=1)) * costs.MILLION == pytest.approx(0.625 + 2 * 0.125)
    keys, found = costs.table({"H": {"eventfold": Measured(Counted([], 10, 10))}})
    assert keys == ["H"]
    assert found["eventfold"]["H"] == pytest.approx(7.5 / 100)


def test_an_unknown_workload_is_refused_by_name() -> None:
    with pytest.raises(StepError, match="Z"):
        main._keys("A,Z")
