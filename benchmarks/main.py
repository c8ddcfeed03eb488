"""`make bench`: eventfold beside its peers, each figure measured here and now."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import alone, checks, cold_start, page, report, runners
from benchmarks.kinds import KINDS, LIST, LONG, OURS, REBUILDS
from benchmarks.results import TITLES, Results
from benchmarks.targets import judge
from benchmarks.workloads import Sizes, measure, profiles, workloads
from local.toolchain import ROOT, StepError, console, main_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from benchmarks.kinds import Kind
    from benchmarks.runners import Field

FOLDER = ROOT / "benchmarks"
NO_TARGET = frozenset("N")
"""Profiled as those are that miss theirs: a reader wonders about them as well."""
RACES = 3
"""Rounds of F at the most: they take long, and what they find is coarse."""


def run(kinds: Sequence[Kind], sizes: Sizes, rounds: int, keys: Collection[str], say: Callable[[str], None]) -> Results:
    """Run the bench; `say` hears what is being done."""
    results = Results(sizes, rounds)
    results.absent = {kind.name: why for kind in kinds if (why := runners.why_not(kind))}
    present = [kind for kind in kinds if kind.name not in results.absent]
    say("starting DynamoDB Local and the peers")
    with runners.running(present) as field:
        for step in _steps(field, results, keys):
            say(step)
    return results


def _steps(field: Field, results: Results, keys: Collection[str]) -> Iterator[str]:
    sizes, rounds = results.sizes, results.rounds
    for worker in field.workers:
        if worker.kind not in (LONG, LIST, *REBUILDS):
            yield f"checking {worker.name}"
            results.faults[worker.name] = checks.faults_of(worker, sizes)
    for workload in workloads(sizes):
        if workload.key in keys:
            yield from measure(field, workload, sizes, rounds, results.rows.setdefault(workload.key, {}))
    yield from _alone(field, results, keys)
    missed = {one.key for one in judge(results) if not one.met}
    for workload in workloads(sizes):
        if workload.key in results.rows and workload.key in {*missed, *NO_TARGET}:
            yield f"{workload.key}: profile"
            results.profiles[workload.key] = profiles(field, field.worker(OURS), workload)


def _alone(field: Field, results: Results, keys: Collection[str]) -> Iterator[str]:
    sizes, rounds, rows = results.sizes, results.rounds, results.rows
    if "W" in keys:
        yield from alone.known(field, sizes, rounds, rows.setdefault("W", {}))
    if "F" in keys:
        yield from alone.race(field, sizes, min(rounds, RACES), rows.setdefault("F", {}), results.faults)
    if "H" in keys:
        yield from alone.projections(field, field.worker(LONG), rounds, rows.setdefault("H", {}))
    if "L" in keys:
        yield from alone.lengths(field, field.worker(LONG), sizes, rounds, results.lengths)
        yield from alone.lists(field, field.worker(LIST), sizes, rounds, results.lengths)
    if "R" in keys:
        yield from alone.rebuild(field, [field.worker(kind) for kind in REBUILDS], sizes, rounds, results.rebuild)
    if "COLD" in keys:
        results.cold = cold_start.ColdStart()
        yield from cold_start.measure(field, sizes.starts, results.cold)


def main() -> int:
    """Run what is asked for, show it, and write the page if it was everything."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help=f"of {','.join(TITLES)}")
    chosen = parser.parse_args()
    keys = _keys(chosen.only)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("bench", total=None)
        results = run(KINDS, Sizes(), max(chosen.rounds, 1), keys, lambda step: progress.update(task, description=step))
    return show(results, whole=keys == set(TITLES))


def _keys(only: str) -> set[str]:
    keys = {key.strip().upper() for key in only.split(",") if key.strip()} or set(TITLES)
    if unknown := keys - set(TITLES):
        known = "; ".join(f"{key} {title}" for key, title in TITLES.items())
        raise StepError(f"ONLY names what there is not: {', '.join(sorted(unknown))}. There are: {known}.")
    return keys


def show(results: Results, *, whole: bool) -> int:
    """Print the tables; return 1 if eventfold failed a check or missed a target."""
    verdicts = judge(results)
    if results.rows:
        console.print(report.matrix(results))
        console.print(report.dollars(results))
    for line in report.wrongs(results):
        console.print(f"[red]wrong[/] {line}")
    for name, why in results.absent.items():
        console.print(f"[yellow]not measured[/] {name}: {why}")
    console.print(report.targets(verdicts))
    missed = [one for one in verdicts if not one.met]
    ours = [line for line in report.wrongs(results) if line.startswith(OURS.name)]
    console.print(f"{len(verdicts) - len(missed)} of {len(verdicts)} targets met.")
    if whole:
        console.print(f"Everything: {page.write(results, verdicts, FOLDER).relative_to(ROOT)}")
    else:
        console.print("Some workloads only: benchmarks/results.md stays as it was. `make bench` writes it.")
    for one in missed:
        console.print(f"[red]✗[/] missed: {one.key} {one.measure}: {one.found}, target {one.target}")
        if profile := results.profiles.get(one.key):
            parts = ", ".join(f"{part} {share:.0%}" for part, share in profile.items())
            console.print(f"  where its CPU goes: {parts}")
    for line in ours:
        console.print(f"[red]✗[/] {line}")
    return 1 if missed or ours else 0


if __name__ == "__main__":
    main_guard(main)
