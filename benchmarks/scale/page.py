"""docs/scale.md and its chart, written from what the simulation found."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from benchmarks.load.chart import Panel, Series, svg
from benchmarks.scale import facts
from benchmarks.scale.findings import HEADROOM, minutes_to_grow
from benchmarks.scale.model import Settings, Workload
from benchmarks.scale.report import (
    CASE_COLUMNS,
    PARAMETERS,
    RUNG_COLUMNS,
    Case,
    Found,
    case_rows,
    checks,
    factor,
    mapping_rows,
    rung_rows,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 120


def markdown(found: Found) -> str:
    """Return the page."""
    parts = [_opening(), _findings(found), _rates(found), _breaks(found), _mapping(found), _trust(found)]
    return "\n\n".join(parts) + "\n"


def _say(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _point(*sentences: str) -> str:
    return textwrap.indent(_say(*sentences), "  ").replace("  ", "- ", 1)


def _top(found: Found) -> Case:
    """Return the highest rate, with the settings made for it."""
    return max(found.cases, key=lambda one: (one.rate, one.sized))


def _opening() -> str:
    return "# Past one machine\n\n" + _say(
        "Written by `make scale`; do not edit. A simulation of the deployed shape: gateway, functions,",
        "table partitions,",
        "stream shards, mapping, read models. Limits and prices are those that AWS documents, each with its source in",
        "[facts.py](../benchmarks/scale/facts.py); the times of the functions are those of `make load`.",
        "No run on AWS is behind it: it says what breaks in which order, and what moves that.",
    )


def _findings(found: Found) -> str:
    first, second, last, top = found.rungs[0], found.rungs[1], found.rungs[-1], _top(found)
    enough = min((one for one in found.mappings if one.run.keeps_up), key=lambda one: (one.factor, one.batch))
    lags = [one.run.lags.percentile(99) * 1000 for one in found.cases if one.sized]
    counted = Workload(1).counted
    units = found.costs.row_units() + found.costs.index_units() + found.costs.tally_units(counted)
    share = top.dollars["read models"] / sum(top.dollars.values())
    settings = Settings()
    points = [
        _point(
            f"As deployed, {first.limit} is the first limit, at {first.rate:,.0f} requests a second, queries too.",
            f"It is there to bound what a flood costs. Behind it comes: {second.limit}, at {second.rate:,.0f}.",
        ),
        _point(
            f"The read models break before the events: a commit is one write unit there, and {units:.1f} here.",
            "`ReadModelsWarmWrites`, `ListShards` and `TallyShards` are to be raised together, then",
            "`EventsWarmWrites`,",
            "then quotas.",
        ),
        _point(
            f"With everything made for {top.rate:,.0f} commands a second, the next limit is {last.limit}, at",
            f"{last.rate:,.0f}, which is the headroom they were given.",
            f"The lag hardly depends on the rate: p99 is {min(lags):,.0f} to {max(lags):,.0f} ms,",
            "most of it Lambda's poll, four times a second.",
        ),
        _point(
            f"One aggregate takes {1 / found.costs.command_seconds(settings):.0f} commits a second, since",
            "they come one",
            "after the other. No setting moves that: a busier one has to be cut smaller.",
        ),
        _point(
            f"The read models are {share:.0%} of the bill. An update that changes no counter still moves the tally's",
            "checkpoint by a transaction, for two units.",
        ),
        _point(
            f"`ParallelizationFactor` {enough.factor} with `BatchSize` {enough.batch} is the least that",
            "keeps up with a",
            f"full shard. The defaults, {settings.parallelization} and {settings.batch_size}, have a margin; larger",
            "batches gain nothing. They stay as they are.",
        ),
    ]
    return "## Findings\n\n" + "\n".join(points)


def _rates(found: Found) -> str:
    workload, top = Workload(1), _top(found)
    return "\n\n".join(
        [
            "## Three rates",
            _say(
                f"Commands of 1 KB over {workload.streams:,} streams (Zipf, exponent {workload.skew}), of which the",
                f"statistics count {workload.counted:.0%}; half a minute in a steady state. *Default* is",
                "template.yaml in",
                f"a new account, *sized* what the rate needs and {HEADROOM - 1:.0%} more.",
                "p50 and p99 are of the lag, in ms.",
            ),
            table(CASE_COLUMNS, case_rows(found.cases)),
            _say("The sizes. Parameters of template.yaml are in backticks; a quota is raised by asking AWS."),
            _sizes([one for one in found.cases if one.sized]),
            _say(
                f"The bill at {top.rate:,.0f} commands a second. Queries, storage, backups and traffic are not in it.",
            ),
            table(("", "$ a day"), [(name, f"{value:,.0f}") for name, value in top.dollars.items()]),
            "![Where it breaks first, and what it costs](scale.svg)",
        ]
    )


def _sizes(sized: Sequence[Case]) -> str:
    rows = [
        (where, *(f"{getattr(one.settings, name):,.0f}" for one in sized))
        for name, where in PARAMETERS.items()
        if name != "parallelization"
    ]
    return table(("", *(f"{one.rate:,.0f} / s" for one in sized)), rows)


def _breaks(found: Found) -> str:
    top, default = _top(found), Settings()
    needed = top.settings.read_models_warm
    return "\n\n".join(
        [
            "## Where it breaks first, and what moves that point",
            _say(
                "Upwards from the defaults: the first limit that refuses more than one command in a",
                "thousand, or lets the",
                f"backlog grow; its setting is then made for {top.rate:,.0f} commands a second, and the",
                "next one looked",
                "for.",
            ),
            table(RUNG_COLUMNS, rung_rows(found.rungs)),
            _say(
                "A table grows by itself, to twice its peak in 30 minutes. From the",
                f"{default.read_models_warm:,.0f} units of a new one, the read models of {top.rate:,.0f}",
                "commands a second",
                f"are {minutes_to_grow(needed) / 60:.1f} hours away; `ReadModelsWarmWrites` has them there at once.",
            ),
            "### Hot streams",
            _say("With every setting made for the highest rate:"),
            table(
                ("Zipf exponent", "share of the busiest", "breaks at commands / s", "what breaks"),
                [
                    (f"{skew}", f"{Workload(1, skew=skew).share(1):.2g}", f"{rung.rate:,.0f}", str(rung.limit))
                    for skew, rung in found.skews
                ],
            ),
            "### From nothing",
            _say(
                "Lambda gives a function 1,000 executions at once, and 1,000 more every 10 s. The first",
                "minute, with the",
                "settings made for the rate:",
            ),
            table(
                ("commands / s", "accepted"),
                [(f"{one.rate:,.0f}", f"{one.run.appended / one.run.offered:.2%}") for one in found.from_nothing],
            ),
        ]
    )


def _mapping(found: Found) -> str:
    columns = ("ParallelizationFactor", "BatchSize", "keeps up", "p50", "p99", "batches / s")
    return "\n\n".join(
        [
            "## The mapping, on four shards at 95 % of what a partition takes",
            table(columns, mapping_rows(found.mappings)),
            _say("Lags are in ms; where it does not keep up, they are those of half a minute, and grow."),
        ]
    )


def _trust(found: Found) -> str:
    load, settings = found.costs.measured.load, Settings()
    batch = found.costs.batch_seconds(settings.batch_size, settings) * 1000
    return "\n\n".join(
        [
            "## How far to trust it",
            _say(
                "The same measured times, on the one machine that they come from: the simulation has the",
                "figures of one",
                f"user, and says what {load.users} users get. Nothing is fitted.",
            ),
            table(
                ("", "measured", "simulated", "apart by a factor of", "asserted"),
                [
                    (name, f"{real:,.0f}", f"{said:,.0f}", f"{factor(real, said):.2f}", f"below {allowed}")
                    for name, real, said, allowed in checks(found.costs.measured, found.alone)
                ],
            ),
            _say(
                "Modelled, because nobody documents it: a DynamoDB request takes",
                f"{facts.DYNAMODB_SECONDS * 1000:.0f} ms and a transaction twice that; CPU on Lambda is as",
                "fast as here,",
                "in proportion to memory; a partition has one shard; partitions do not split within a run; what is",
                f"refused is not sent again. A batch of {settings.batch_size} then takes {batch:.0f} ms.",
                "What hangs on the",
                "first of these, `ThrottlingRate` aside:",
            ),
            table(
                ("a request takes", "breaks first", "at commands / s", "a shard at 95 % is kept up with", "lag p99"),
                [
                    (
                        f"{seconds * 1000:g} ms",
                        str(rung.limit),
                        f"{rung.rate:,.0f}",
                        "yes" if run.keeps_up else "**no**",
                        f"{run.lags.percentile(99) * 1000:,.0f}",
                    )
                    for seconds, rung, run in found.round_trips
                ],
            ),
        ]
    )


def chart(found: Found) -> str:
    """Return two panels: the rate at which something breaks as settings are raised, and the largest costs."""
    ladder = [(float(raised), one.rate) for raised, one in enumerate(found.rungs)]
    sized = [one for one in found.cases if one.sized]
    biggest = sorted(sized[0].dollars, key=lambda name: -sized[-1].dollars[name])[:4]
    panels = [
        Panel(
            "Commands a second at which something breaks", [Series("first limit", ladder)], "settings raised", log=True
        ),
        Panel(
            "Dollars a day, the four largest items",
            [Series(name, [(one.rate, one.dollars[name]) for one in sized]) for name in biggest],
            "commands a second",
            log=True,
            log_x=True,
        ),
    ]
    return svg(panels, "Where the deployed shape breaks first, and what it costs")
