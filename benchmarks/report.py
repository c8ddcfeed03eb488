"""A run's results on the terminal: little, and what to do next."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Results
    from benchmarks.targets import Verdict
    from benchmarks.workloads import Measured

MATRIX = "ABCDEFGN"
_MICRO = 1e6


def figure(measured: Measured, base: Measured | None) -> str:
    """Return a cell: the ratio to the base, or the time where there is none."""
    if measured.missing:
        return "can't" if measured.missing.startswith("can't") else "fails"
    return f"{measured.ratio(base):.2f}" if base else micros(statistics.median(measured.cpu))


def micros(seconds: float) -> str:
    """Return a time in microseconds: three figures, or all before the point."""
    value = seconds * _MICRO
    return f"{value:,.0f} us" if value >= 100 else f"{value:.1f} us"  # noqa: PLR2004 - three figures


def names(results: Results) -> list[str]:
    """Return the peers that have a row, in order."""
    measured = {name for key in MATRIX for name in results.rows.get(key, {})}
    return [kind.name for kind in KINDS if kind.name in measured]


def matrix(results: Results) -> Table:
    """Return all ratios in one table."""
    found = Table(box=SIMPLE, padding=(0, 1, 0, 0), title="CPU, as a ratio to plain boto3", title_justify="left")
    keys = [key for key in MATRIX if key in results.rows]
    found.add_column("")
    for key in keys:
        found.add_column(key, justify="right")
    for name in names(results):
        cells = [results.rows[key].get(name) for key in keys]
        shown = [figure(cell, results.base(key)) if cell else "" for key, cell in zip(keys, cells, strict=True)]
        found.add_row(f"[red]{name} (wrong)[/]" if results.wrong(name) else name, *shown)
    return found


def targets(verdicts: Sequence[Verdict]) -> Table:
    """Return the targets, met and missed."""
    found = Table(box=SIMPLE, padding=(0, 1, 0, 0), title="Targets", title_justify="left")
    for name in ("", "measured", "target", "found", ""):
        found.add_column(name, justify="right" if name in {"target", "found"} else "left")
    for one in verdicts:
        found.add_row(one.key, one.measure, one.target, one.found, "[green]met[/]" if one.met else "[red]missed[/]")
    return found


def wrongs(results: Results) -> list[str]:
    """Return what the checks found, a line each."""
    return [f"{name}: {fault}" for name, faults in results.faults.items() for fault in faults]
