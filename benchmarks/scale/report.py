"""What the simulation found, in rows of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.scale import machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.load.figures import Measured
    from benchmarks.scale.findings import Rung
    from benchmarks.scale.model import Costs, Settings
    from benchmarks.scale.simulation import Outcome

PARAMETERS: Mapping[str, str] = {
    "throttling_rate": "`ThrottlingRate`",
    "list_shards": "`ListShards`",
    "tally_shards": "`TallyShards`",
    "events_warm": "`EventsWarmWrites`",
    "read_models_warm": "`ReadModelsWarmWrites`",
    "gateway_quota": "API Gateway quota",
    "concurrency_quota": "Lambda concurrency quota",
    "events_quota": "event table quota",
    "read_models_quota": "read-model table quota",
    "parallelization": "`ParallelizationFactor`",
}
"""What a setting is called where it is set: a parameter of template.yaml in backticks; a quota AWS is asked for."""


@dataclass(frozen=True)
class Case:
    """One rate with one choice of settings, and what came of it."""

    rate: float
    sized: bool
    settings: Settings
    run: Outcome
    dollars: Mapping[str, float]


@dataclass(frozen=True)
class Mapped:
    """A nearly full shard under some settings of the mapping."""

    factor: int
    batch: int
    run: Outcome


@dataclass(frozen=True)
class Found:
    """All that one run of the simulation found."""

    costs: Costs
    cases: Sequence[Case]
    from_nothing: Sequence[Case]
    rungs: Sequence[Rung]
    skews: Sequence[tuple[float, Rung]]
    mappings: Sequence[Mapped]
    round_trips: Sequence[tuple[float, Rung, Outcome]]
    alone: machine.Ran


def checks(measured: Measured, alone: machine.Ran) -> list[tuple[str, float, float, float]]:
    """Return what was measured and what the simulation of the same machine says: name, both values, the factor."""
    load = measured.load
    return [
        ("requests a second", load.requests_a_second, alone.requests_a_second, machine.THROUGHPUT_FACTOR),
        ("lag p50, ms", load.lag_p50_ms, alone.lag(50) * 1000, machine.LAG_FACTOR),
        ("lag p99, ms", load.lag_p99_ms, alone.lag(99) * 1000, machine.LAG_FACTOR),
    ]


def factor(one: float, other: float) -> float:
    """Return by how much the larger exceeds the smaller."""
    return max(one, other) / max(min(one, other), 1e-9)


def case_rows(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Return the cases' figures."""
    return [
        (
            f"{one.rate:,.0f}",
            "sized" if one.sized else "default",
            f"{one.run.appended / one.run.offered:.2%}",
            f"{one.run.lags.percentile(50) * 1000:,.0f}",
            f"{one.run.lags.percentile(99) * 1000:,.0f}",
            f"{one.run.peak_concurrency:,.0f}",
            f"{sum(one.dollars.values()):,.0f}",
            str(one.run.over or "none"),
        )
        for one in cases
    ]


CASE_COLUMNS = ("commands / s", "settings", "accepted", "p50", "p99", "running", "$ a day", "over")


def mapping_rows(mappings: Sequence[Mapped]) -> list[tuple[str, ...]]:
    """Return how a nearly full shard is followed, by factor and batch."""
    return [
        (
            str(one.factor),
            str(one.batch),
            "yes" if one.run.keeps_up else "**no**",
            f"{one.run.lags.percentile(50) * 1000:,.0f}",
            f"{one.run.lags.percentile(99) * 1000:,.0f}",
            f"{one.run.batches / one.run.seconds:,.0f}",
        )
        for one in mappings
    ]


def rung_rows(rungs: Sequence[Rung]) -> list[tuple[str, ...]]:
    """Return the ladder: what breaks at which rate, and what moves it."""
    return [
        (
            f"{one.rate:,.0f}",
            str(one.limit or "nothing"),
            PARAMETERS.get(one.setting, one.setting) or "",
            f"{one.before:,.0f} to {one.after:,.0f}" if one.setting else "",
        )
        for one in rungs
    ]


RUNG_COLUMNS = ("commands / s", "what breaks", "what moves it", "raised")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))
