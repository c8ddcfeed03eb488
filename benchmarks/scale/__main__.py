"""`make scale`: the deployed shape simulated at up to 1,000,000 commands a second; where it breaks, what it costs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.load.figures import Measured
from benchmarks.scale import facts, machine, page, report
from benchmarks.scale.costs import dollars_a_day
from benchmarks.scale.findings import breaking_point, hot_shard, ladder, sized_for
from benchmarks.scale.model import Costs, Settings, Workload
from benchmarks.scale.simulation import Horizon, simulate
from local.toolchain import ROOT, StepError, console, main_guard, step

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURED = ROOT / "benchmarks" / "scale" / "measured.json"
RATES = (1_000.0, 100_000.0, 1_000_000.0)
SKEWS = (0.0, 0.5, 0.8, 1.0)
FACTORS = (1, 2, 3, 4, 10)
BATCHES = (10, 100, 1_000)
ROUND_TRIPS = (0.0025, facts.DYNAMODB_SECONDS, 0.010)
MINUTE = 60
_FIGURES = {"commands / s", "accepted", "p50", "p99", "running", "$ a day"}


def main() -> int:
    """Simulate, and write docs/scale.md."""
    parser = argparse.ArgumentParser(prog="make scale", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which partitions get the hot streams, and when polls come")
    seed = parser.parse_args().seed
    try:
        measured = Measured.model_validate_json(MEASURED.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StepError(f"There are no measured times in {MEASURED.name}: {error}\nmake load measures them.") from error
    found = find(Costs(measured), seed)
    _show("At each rate; p50 and p99 of the lag in ms", report.CASE_COLUMNS, report.case_rows(found.cases))
    _show("Where it breaks first, and what moves that", report.RUNG_COLUMNS, report.rung_rows(found.rungs))
    (ROOT / "docs" / "scale.md").write_text(page.markdown(found), encoding="utf-8")
    (ROOT / "docs" / "scale.svg").write_text(page.chart(found), encoding="utf-8")
    apart = [one for one in report.checks(measured, found.alone) if report.factor(one[1], one[2]) > one[3]]
    for name, real, said, allowed in apart:
        console.print(f"[red]✗[/] {name}: measured {real:,.0f}, simulated {said:,.0f}, apart by more than {allowed}")
    if apart:
        console.print("Did something else run beside make load? Run it again; if this stays, machine.py is wrong.")
        return 1
    console.print(
        "[green]✓[/] The machine of make load comes out as measured, within what is stated. See docs/scale.md"
    )
    return 0


def find(costs: Costs, seed: int) -> report.Found:
    """Run everything that the page is made of."""
    steady, growing = Horizon(seed=seed), Horizon(seconds=MINUTE, seed=seed, warm=False)
    with step("Simulating 1,000, 100,000 and 1,000,000 commands a second"):
        cases = [case(rate, sized, costs, steady) for rate in RATES for sized in (False, True)]
        from_nothing = [case(rate, sized=True, costs=costs, horizon=growing) for rate in RATES]
    with step("Looking for what breaks first"):
        top = Workload(RATES[-1])
        rungs = list(ladder(top, costs))
        skews = [(skew, breaking_point(replace(top, skew=skew), sized_for(top, costs), costs)) for skew in SKEWS]
    with step("Trying other settings of the mapping, and a slower DynamoDB"):
        mappings = [
            report.Mapped(factor, batch, hot_shard(Settings(parallelization=factor, batch_size=batch), costs))
            for factor in FACTORS
            for batch in BATCHES
        ]
        trips = [(seconds, replace(costs, round_trip=seconds)) for seconds in ROUND_TRIPS]
        unbounded = Settings(throttling_rate=RATES[-1])
        round_trips = [
            (seconds, breaking_point(top, unbounded, other), hot_shard(Settings(), other)) for seconds, other in trips
        ]
    with step("Simulating the one machine of make load"):
        load = costs.measured.load
        alone = machine.simulate(costs.measured, users=load.users, seconds=load.seconds, seed=seed)
    return report.Found(costs, cases, from_nothing, rungs, skews, mappings, round_trips, alone)


def case(rate: float, sized: bool, costs: Costs, horizon: Horizon) -> report.Case:  # noqa: FBT001 - one of two
    """Run one rate, with the default settings or with those made for it."""
    workload = Workload(rate)
    settings = sized_for(workload, costs) if sized else Settings()
    run = simulate(workload, settings, costs, horizon)
    return report.Case(rate, sized, settings, run, dollars_a_day(workload, settings, costs, run))


def _show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name in _FIGURES else "left")
    for row in rows:
        table.add_row(*(cell.replace("`", "") for cell in row))
    console.print(table)


if __name__ == "__main__":
    main_guard(main)
