"""Dollars for a million of each thing, from measured capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.prices import READ_UNIT, WRITE_UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.runners import Counted
    from benchmarks.workloads import Row

MILLION = 1_000_000
COLUMNS = {
    "A": "new streams, 1 event",
    "B": "commands at version 100",
    "C": "commits of 5 events",
    "E": "loads, snapshot + 10",
    "D": "loads of 1,000 events",
    "H": "projected events",
}
"""Workloads that are priced, and what a million of them is a million of."""
H_EVENTS = 100


def dollars(cost: Counted) -> float:
    """Return what some work costs."""
    return cost.read * READ_UNIT + cost.written * WRITE_UNIT


def table(rows: Mapping[str, Row]) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Return the priced workloads that were measured, and by peer the dollars for a million of each."""
    keys = [key for key in COLUMNS if key in rows]
    found: dict[str, dict[str, float]] = {}
    for key in keys:
        for name, measured in rows[key].items():
            if not measured.missing:
                each = dollars(measured.cost) / (H_EVENTS if key == "H" else 1)
                found.setdefault(name, {})[key] = each * MILLION
    return keys, found
