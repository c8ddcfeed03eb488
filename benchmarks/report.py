"""A run's results on the terminal: little, and what to do next."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from benchmarks import costs
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


def with_spread(measured: Measured, base: Measured | None) -> str:
    """Return a cell with half the range of its rounds below."""
    if measured.missing or not base or measured is base:
        return figure(measured, base)
    ratios = measured.ratios(base)
    half = (max(ratios) - min(ratios)) / 2
    return f"{figure(measured, base)}\n[dim]±{half:.2f}[/]".replace("±0.", "±.")


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
    title = "CPU, as a ratio to plain boto3: the rounds' median, and half their range"
    found = Table(box=SIMPLE, padding=(0, 1, 0, 0), title=title, title_justify="left")
    keys = [key for key in MATRIX if key in results.rows]
    found.add_column("", overflow="fold")
    for key in keys:
        found.add_column(key, justify="right", min_width=5)
    for name in names(results):
        cells = [results.rows[key].get(name) for key in keys]
        shown = [
            with_spread(cell, results.base(key, name)) if cell else "" for key, cell in zip(keys, cells, strict=True)
        ]
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


def dollar_rows(results: Results) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the kinds of work that were priced, and by peer what a million of each costs."""
    keys, found = costs.table(results.rows)
    ordered = [kind.name for kind in KINDS if kind.name in found]
    return [costs.COLUMNS[key] for key in keys], [
        (name, *(f"{found[name][key]:.2f}" if key in found[name] else "" for key in keys)) for name in ordered
    ]


def dollars(results: Results) -> Table:
    """Return what a million of each kind of work costs, by peer."""
    columns, rows = dollar_rows(results)
    found = Table(box=SIMPLE, padding=0, title="Dollars for a million, capacity alone", title_justify="left")
    for name in ("", *columns):
        found.add_column(name, justify="right" if name else "left", overflow="fold", min_width=_longest(name))
    for row in rows:
        found.add_row(*row)
    return found


def _longest(title: str) -> int | None:
    return max(map(len, title.split()), default=None)


def wrongs(results: Results) -> list[str]:
    """Return what the checks found, a line each."""
    return [f"{name}: {fault}" for name, faults in results.faults.items() for fault in faults]
