"""docs/scale.md, written from the model."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from benchmarks import prices
from benchmarks.page import table
from benchmarks.scale import facts, queries
from benchmarks.scale.model import DAY, HEADROOM, Model, Settings, Workload, hours_to_grow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RATES = (1_000.0, 100_000.0, 1_000_000.0)
BILLED = (1.0, 1_000.0, 1_000_000.0)
ALARMS, METRICS = 12, 10
"""Of template.yaml: alarms, and metrics of our own that it shows or watches."""
SKEWS = (0.0, 0.5, 0.8, 1.0)
FACTORS, BATCHES = (1, 2, 3, 4, 10), (10, 100, 1_000)
ROUND_TRIPS = (0.0025, facts.DYNAMODB_SECONDS, 0.010)
NAMES = {
    "throttling_rate": "`ThrottlingRate`",
    "list_shards": "`ListShards`, by a rebuild",
    "tally_shards": "`TallyShards`",
    "events_warm": "`EventsWarmWrites`",
    "read_models_warm": "`ReadModelsWarmWrites`",
    "gateway_quota": "API Gateway quota",
    "concurrency_quota": "Lambda concurrency quota",
    "events_quota": "event table quota",
    "read_models_quota": "read-model table quota",
}
"""What a setting is called where it is set: a parameter of template.yaml in backticks, or a quota AWS is asked for."""


_PAGE = """\
# Past one machine

Written by `make scale`; do not edit. Where each part of the deployed shape ends, by arithmetic: its capacity divided
by what a command needs of it ([model.py](../benchmarks/scale/model.py), tested). Limits and prices are those that AWS
documents, each with its source in [facts.py](../benchmarks/scale/facts.py); the functions' times are those of
`make load`. No run on AWS is behind it.

Commands of {kb} KB over {streams:,} streams (Zipf, exponent {skew}), of which the statistics count {counted:.0%}.
*Default* is template.yaml in a new account, *sized* what the rate needs and {headroom:.0%} more.

## Where it breaks first, and what moves that point

Upwards from the defaults: the lowest limit, its setting then made for 1,000,000 commands a second, and so on.
`ThrottlingRate` is the first, and is there to bound what a flood costs.

{rungs}
A table grows by itself, to twice its peak in 30 minutes. From the 4,000 units of a new one, the read models of
1,000,000 commands a second are {hours:.1f} hours away; `ReadModelsWarmWrites` has them there at once.

## Three rates

Lags are of a commit that waits half of Lambda's poll, and of one that waits a whole one.

{rates}
The sizes. Parameters of template.yaml are in backticks; a quota is raised by asking AWS.

{sizes}
## Dollars a million commands

With the settings that the rate needs, from the units that the tests assert, the log bytes and times that `make load`
measures, and the prices of us-east-1. Queries, storage, backups and traffic are not in it.
{watched} besides, whatever the rate.

{bill}
Unique keys are not in it. Where emails are unique, as the users' are, and creations, deletions and {changed:.0%}
of the commands change one, they add {keyed_units:.1f} write units a command: {keyed:.2f} dollars a million.

From nothing, with settings made for the rate: Lambda gives a function 1,000 executions at once, and 1,000 more every
10 s. Of the first minute's commands it accepts {growing}.

## What a query asks for

Of DynamoDB, from a warm process, with the shards of the three rates. DynamoDB Local counts the same, at 20 rows and at
10,000 ([test_query_costs.py](../tests/integration/test_query_costs.py)). A request takes 5 ms; eight go side by side.

{queries}
A list is cut into ranges of names, each a partition of the index, so a page is one request however many there are; one
that lies across a border asks two. Spread over {hashed_shards} partitions by a hash, each page would ask all of them,
for {hashed:,.2f} dollars a million. Statistics sum what is written in many places, and are read consistently, so that
they never go back.

One item is read {item_reads:,} times a second at the most. Every `GET /users/{{id}}` reads the directory's control
item, every `GET /stats` that of the statistics: so many of each are answered in a second. No setting moves that.

## Hot streams

Commits of one aggregate come one after the other: {one:.0f} a second. No setting moves that: a busier one has to be cut
smaller.

{skews}
## The mapping, on a shard at 95 % of what its partition takes

{mappings}
## What is assumed

Nobody documents how long a DynamoDB request takes; 5 ms are assumed, and twice that for a transaction. CPU on Lambda is
taken to be as fast as here, in proportion to memory, and a partition to have one shard. What hangs on the first:

{trips}"""


def markdown(model: Model) -> str:
    """Return the page."""
    top = Workload(RATES[-1])
    sized = model.sized_for(top)
    bills = [million(model, Workload(rate)) for rate in BILLED]
    shares = [(name, *(f"{bill[name]:.2f}" for bill in bills)) for name in bills[0]]
    shares.append(("**in all**", *(f"**{sum(bill.values()):.2f}**" for bill in bills)))
    growing = ((rate, model.first_minute(Workload(rate), model.sized_for(Workload(rate)))) for rate in RATES)
    shards = model.sized_for(Workload(RATES[1])).list_shards
    hashed = queries.listed_by_hash(21, facts.LISTED_ROW_BYTES, shards)
    keyed = model.unique_key_units(top)
    return _PAGE.format(
        **{name: getattr(top, name) for name in ("kb", "streams", "skew", "counted")},
        headroom=HEADROOM - 1,
        rungs=_table(("what breaks", "at commands / s", "what moves it", "raised"), _rungs(model, top)),
        hours=hours_to_grow(sized.read_models_warm),
        rates=_table(("commands / s", "settings", "accepted", "lag, ms", "at most", "$ a day"), _rates(model)),
        sizes=_table(("", *(f"{rate:,.0f} / s" for rate in RATES)), _sizes(model)),
        bill=_table(("", *(f"{rate:,.0f} / s" for rate in BILLED)), shares),
        watched=f"Alarms, metrics and the dashboard are {_watched():.2f} dollars a month",
        growing=", ".join(f"{share:.0%} at {rate:,.0f}" for rate, share in growing),
        one=1 / model.command_seconds(Settings()),
        queries=_table(
            ("query", "`TallyShards`", "requests", "read units", "$ a million", "ms"),
            queries.rows(sorted({model.sized_for(Workload(rate)).tally_shards for rate in RATES}), model.round_trip),
        ),
        hashed_shards=hashed.requests,
        changed=top.readdressed,
        keyed_units=sum(keyed),
        keyed=sum(keyed) * prices.WRITE_UNIT * 1e6,
        hashed=hashed.dollars_a_million,
        item_reads=facts.PARTITION_RCU,
        skews=_table(("Zipf exponent", "share of the busiest", "reached at commands / s of all"), _skews(model, top)),
        mappings=_table(("ParallelizationFactor", "BatchSize", "commits / s", "keeps up"), _mappings(model)),
        trips=_table(("a request takes", "a command, ms", "a batch of 100, ms", "keeps up as above"), _trips(model)),
    )


def million(model: Model, workload: Workload) -> dict[str, float]:
    """Return what a million commands cost, by item, with the settings that their rate needs."""
    bill = model.dollars_a_day(workload, model.sized_for(workload))
    return {name: one / (workload.rate * DAY) * 1e6 for name, one in bill.items()}


def _watched() -> float:
    """Return what watching the stack costs a month."""
    return ALARMS * facts.ALARM_A_MONTH + METRICS * facts.METRIC_A_MONTH + facts.DASHBOARD_A_MONTH


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(table(header, rows))


def _rungs(model: Model, top: Workload) -> Iterator[tuple[str, ...]]:
    for limit, before, after in model.ladder(top):
        raised = f"{before:,.0f} to {after:,.0f}" if after else ""
        yield limit.name, f"{limit.rate:,.0f}", NAMES[limit.setting] if after else "", raised


def _rates(model: Model) -> Iterator[tuple[str, ...]]:
    for rate in RATES:
        workload = Workload(rate)
        for name, settings in (("default", Settings()), ("sized", model.sized_for(workload))):
            accepted = model.accepted(workload, settings)
            middle, most = (f"{1000 * one:,.0f}" for one in model.lag(accepted, settings))
            dollars = sum(model.dollars_a_day(workload, settings).values())
            yield f"{rate:,.0f}", name, f"{accepted / rate:.2%}", middle, most, f"{dollars:,.0f}"


def _sizes(model: Model) -> Iterator[tuple[str, ...]]:
    sized = [model.sized_for(Workload(rate)) for rate in RATES]
    for name in (one.name for one in fields(Settings) if one.name in NAMES):
        yield NAMES[name], *(f"{getattr(one, name):,.0f}" for one in sized)


def _skews(model: Model, top: Workload) -> Iterator[tuple[str, ...]]:
    for skew in SKEWS:
        workload = replace(top, skew=skew)
        limit = 1 / model.command_seconds(Settings()) / workload.share(1)
        yield str(skew), f"{workload.share(1):.2g}", f"{limit:,.0f}"


def keeps_up(model: Model, settings: Settings) -> tuple[float, bool]:
    """Return how many commits a second one shard's lanes take, and whether that is enough for a nearly full one."""
    taken = settings.parallelization * settings.batch_size / model.batch_seconds(settings.batch_size, settings)
    return taken, taken >= 0.95 * facts.PARTITION_WCU


def _mappings(model: Model) -> Iterator[tuple[str, ...]]:
    for factor in FACTORS:
        for batch in BATCHES:
            taken, enough = keeps_up(model, Settings(parallelization=factor, batch_size=batch))
            yield str(factor), str(batch), f"{taken:,.0f}", "yes" if enough else "**no**"


def _trips(model: Model) -> Iterator[tuple[str, ...]]:
    for seconds in ROUND_TRIPS:
        other, default = replace(model, round_trip=seconds), Settings()
        times = (1000 * other.command_seconds(default), 1000 * other.batch_seconds(100, default))
        yield (
            f"{1000 * seconds:g} ms",
            *(f"{one:,.0f}" for one in times),
            "yes" if keeps_up(other, default)[1] else "**no**",
        )
