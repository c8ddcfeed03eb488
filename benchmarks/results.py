"""What a run has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.kinds import KINDS, OURS, PLAIN, TRANSACTION

if TYPE_CHECKING:
    from benchmarks.alone import Reading
    from benchmarks.cold_start import ColdStart
    from benchmarks.workloads import Measured, Row, Sizes

TITLES = {
    "A": "append 1 event to a new stream",
    "B": "load 100 events, decide, append",
    "C": "append 5 events, all or none",
    "D": "load 1,000 events, no snapshot",
    "E": "load a snapshot and 10 events",
    "F": "8 writers on one stream, for each success",
    "G": "rebuild read: the whole table by a scan, for each event",
    "N": "read 20,000 events of 200 streams, a query each, for each event",
    "W": "a command on an aggregate that the process knows, beside an append",
    "H": "project a batch: 100 commits of 10 streams, for each commit",
    "L": "cost against length",
    "R": "rebuild: a whole table, at two sizes",
    "COLD": "cold start",
}
ON_THE_STUB = frozenset("ABCDEGNW")
"""Workloads whose CPU is measured on replayed answers; the others' is on DynamoDB Local itself."""


@dataclass
class Results:
    """Everything.

    `faults` are by peer what its checks found, `absent` why a peer was not measured, `profiles` by workload which part
    of eventfold's CPU goes where.
    """

    sizes: Sizes
    rounds: int
    faults: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    lengths: dict[str, dict[int, Measured]] = field(default_factory=dict)
    rebuild: list[Reading] = field(default_factory=list)
    cold: ColdStart | None = None
    profiles: dict[str, dict[str, float]] = field(default_factory=dict)

    def base(self, key: str, name: str = "") -> Measured | None:
        """Return what a row's ratios are to: plain boto3 on the same; but for C its transaction, for W our append."""
        beside = next((kind.beside for kind in KINDS if kind.name == name), "")
        found = self.rows[key].get(beside or {"C": TRANSACTION, "W": OURS}.get(key, PLAIN).name)
        return found if found and not found.missing else None

    def wrong(self, name: str) -> bool:
        """Whether a peer failed a check."""
        return bool(self.faults.get(name))
