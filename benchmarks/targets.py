"""The targets, and whether a run met them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.cold_start import FUNCTIONS
from benchmarks.kinds import DEFAULT, EVENTUAL, LONG, OURS, PLAIN, WARM, WELL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.results import Results
    from benchmarks.workloads import Measured, Row

FLAT = 1.25
"""The largest ratio between two lengths that still counts as flat: CPU swings that much from run to run."""
COLD_RATIO, LAYER_MIB = 0.95, 25
CPU = {"A": 0.50, "B": 0.35, "C": 0.75, "D": 0.25, "E": 0.50, "F": 0.6, "G": 0.35}
TO_WELL = {"A": 0.60, "B": 0.75, "D": 1.0}
WARM_TO_PLAIN, WARM_TO_WELL = 0.15, 0.30
WARM_RATIO = 1.05


@dataclass(frozen=True)
class Verdict:
    """One target: of which workload, what is measured, what it must be, what it was."""

    key: str
    measure: str
    target: str
    found: str
    met: bool


LENGTHS = {
    "change_cold": "command",
    "load_short": "load",
    "one_event": "one event",
    "state_after": "state at a version",
    "state_then": "state at a moment",
    "list_page": "list",
}
"""What is measured by a stream's length."""


def judge(results: Results) -> list[Verdict]:
    """Return a verdict on each target whose workload was run."""
    found = [one for key in results.rows for one in _cpu(results, key)]
    exact = {
        "A": _append,
        "B": _command,
        "C": _five,
        "D": _long,
        "E": _snapshot,
        "F": _race,
        "G": _rebuild,
        "W": _warm,
        "H": _batch,
    }
    for key, judged in exact.items():
        if key in results.rows:
            found += judged(results)
    order = "ABWCDEFGH"
    found.sort(key=lambda one: order.index(one.key))
    return [*found, *_lengths(results), *_cold(results)]


def _cpu(results: Results, key: str) -> Iterator[Verdict]:
    base = results.base(key)
    if key in CPU and base:
        kind = WARM if key == "F" else OURS
        yield _at_most(key, "CPU to plain boto3", CPU[key], results.rows[key][kind.name].ratio(base))
    for of in ("", ", nested") if key in TO_WELL else ():
        yield from _beside(results.rows[key], key, of)


def _beside(row: Row, key: str, of: str) -> Iterator[Verdict]:
    """Yield what is measured beside plain boto3 as it comes, and beside a well-written one."""
    plain, well, ours, warm = (row.get(f"{kind.name}{of}") for kind in (PLAIN, WELL, OURS, WARM))
    if not (plain and well and ours):
        return
    if of:
        yield _at_most(key, f"CPU to plain boto3{of}", CPU[key], ours.ratio(plain))
    yield _at_most(key, f"CPU to well-written boto3{of}", TO_WELL[key], ours.ratio(well))
    if key == "B" and warm:
        yield _at_most(key, f"warm: CPU to plain boto3{of}", WARM_TO_PLAIN, warm.ratio(plain))
        yield _at_most(key, f"warm: CPU to well-written boto3{of}", WARM_TO_WELL, warm.ratio(well))


def _append(results: Results) -> Iterator[Verdict]:
    cost = results.rows["A"][OURS.name].cost
    yield _equal("A", "requests", 1, len(cost.requests))
    yield _equal("A", "WCU", 1, cost.written)


def _command(results: Results) -> Iterator[Verdict]:
    row = results.rows["B"]
    cold, warm, plain = row[OURS.name].cost, row[WARM.name].cost, row[PLAIN.name].cost
    yield _equal("B", "requests", 2, len(cold.requests))
    yield _equal("B", "WCU", 1, cold.written)
    yield _at_most("B", "RCU, half of plain boto3's", plain.read / 2 + 0.5, cold.read)
    yield _equal("B", "warm: requests", 1, len(warm.requests))
    yield _equal("B", "warm: WCU", 1, warm.written)
    yield _equal("B", "warm: RCU", 0, warm.read)
    yield _at_most("B", "no snapshots: requests", 2, len(row[DEFAULT.name].cost.requests))


def _warm(results: Results) -> Iterator[Verdict]:
    row = results.rows["W"]
    yield _at_most("W", "CPU to an append", WARM_RATIO, row[WARM.name].ratio(row[OURS.name]))


def _five(results: Results) -> Iterator[Verdict]:
    cost = results.rows["C"][OURS.name].cost
    yield _equal("C", "requests", 1, len(cost.requests))
    yield _at_most("C", "WCU", 2, cost.written)


def _long(results: Results) -> Iterator[Verdict]:
    consistent, eventual = (results.rows["D"][kind.name].cost for kind in (OURS, EVENTUAL))
    yield _equal("D", "requests", 1, len(consistent.requests))
    yield _at_most("D", "RCU", 91, consistent.read)
    yield _at_most("D", "RCU, eventual", consistent.read / 2, eventual.read)


def _snapshot(results: Results) -> Iterator[Verdict]:
    cost = results.rows["E"][EVENTUAL.name].cost
    yield _equal("E", "requests", 1, len(cost.requests))
    # As a command reads it first. Consistent reads are twice that, in the row beside it.
    yield _at_most("E", "RCU, eventual", 2, cost.read)


def _race(results: Results) -> Iterator[Verdict]:
    successes = results.sizes.writers * results.sizes.commands
    cost = results.rows["F"][WARM.name].cost
    requests = Counter(cost.requests)
    yield _at_most("F", "reads for a success", 0.5, requests["Query"] / successes)
    lost = [fault for fault in results.faults.get(WARM.name, []) if "lost" in fault]
    yield Verdict("F", "updates lost", "0", "; ".join(lost) or "0", not lost)


def _rebuild(results: Results) -> Iterator[Verdict]:
    row = results.rows["G"]
    ours = row[OURS.name].cost
    # A scan is eventually consistent unless it asks for more, so both pay half, and a request for each page of 1 MB.
    yield _at_most("G", "requests, plain boto3's", len(row[PLAIN.name].cost.requests), len(ours.requests))
    yield _at_most("G", "RCU, plain boto3's", row[PLAIN.name].cost.read, ours.read)


def _batch(results: Results) -> Iterator[Verdict]:
    cost = results.rows["H"][LONG.name].cost
    text = " + ".join(f"{count} {name}" for name, count in sorted(Counter(cost.requests).items()))
    wanted = "1 BatchGetItem + 10 PutItem"
    yield Verdict("H", "requests", wanted, text, text == wanted)
    yield _equal("H", "WCU", 10, cost.written)


def _lengths(results: Results) -> Iterator[Verdict]:
    for method, name in LENGTHS.items():
        row: dict[int, Measured] = results.lengths.get(method, {})
        if not row:
            continue
        first, *after = row.values()
        if method == "state_then":
            requests = len(after[-1].cost.requests)
            yield _at_most("L", f"{name}: requests, longest", 3 + math.log2(max(row)), requests)
            continue
        same = len({(len(one.cost.requests), one.cost.written) for one in row.values()}) == 1
        yield Verdict("L", f"{name}: requests and WCU", "the same", "the same" if same else "differ", same)
        # The shortest stream has fewer items than a page: the next is the measure.
        reads = sorted({one.cost.read for one in after})
        yield Verdict("L", f"{name}: RCU past one page", "the same", ", ".join(map(str, reads)), len(reads) == 1)
        if first.cpu:
            yield _at_most("L", f"{name}: CPU, longest to shortest", FLAT, after[-1].ratio(first))
    if results.rebuild:
        small, large = results.rebuild
        growth = large.events / small.events
        yield _at_most("R", "CPU an event, large to small", FLAT, large.measured.ratio(small.measured) / growth)
        yield _at_most("R", "memory, large to small", FLAT, large.peak_bytes / small.peak_bytes)


def _cold(results: Results) -> Iterator[Verdict]:
    if results.cold:
        for name in FUNCTIONS:
            yield _at_most(
                "COLD", f"{name}: CPU to import boto3, client, put_item", COLD_RATIO, results.cold.ratio(name)
            )
        yield _at_most("COLD", "dependencies layer, MiB", LAYER_MIB, results.cold.layer_mib)


def _at_most(key: str, measure: str, limit: float, found: float) -> Verdict:
    return Verdict(key, measure, f"≤ {limit:,.4g}", f"{found:,.3g}", found <= limit)


def _equal(key: str, measure: str, wanted: float, found: float) -> Verdict:
    return Verdict(key, measure, f"{wanted:,.4g}", f"{found:,.4g}", found == wanted)


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the least, the median and the most."""
    return min(values), statistics.median(values), max(values)
