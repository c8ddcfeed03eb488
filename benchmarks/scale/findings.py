"""Where it breaks first, and which setting moves that point: found by running the simulation at ever other rates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.scale import facts
from benchmarks.scale.model import Settings, Workload
from benchmarks.scale.simulation import Horizon, Limit, Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.scale.model import Costs

HEADROOM = 1.25
"""By how much a setting made for a rate is above what the rate needs."""
PRECISION = 1.02
_LOWEST, _HIGHEST = 10.0, 4_000_000.0
_SEARCH = Horizon(seconds=12)

MOVED_BY: dict[Limit, str] = {
    Limit.STAGE: "throttling_rate",
    Limit.GATEWAY: "gateway_quota",
    Limit.CONCURRENCY: "concurrency_quota",
    Limit.EVENTS_WARM: "events_warm",
    Limit.PARTITION: "events_warm",
    Limit.EVENTS_QUOTA: "events_quota",
    Limit.LANES: "parallelization",
    Limit.READ_MODELS_WARM: "read_models_warm",
    Limit.READ_MODELS_QUOTA: "read_models_quota",
    Limit.INDEX: "list_shards",
    Limit.TALLIES: "tally_shards",
}
"""The setting that moves each limit. One hot stream has none, nor has Lambda's growth."""


@dataclass(frozen=True)
class Rung:
    """One step up: which limit broke first, at how many commands a second, and what its setting was raised to."""

    rate: float
    limit: Limit | None
    setting: str = ""
    before: float = 0
    after: float = 0


def breaking_point(workload: Workload, settings: Settings, costs: Costs) -> Rung:
    """Return the lowest rate at which something is over its limit, to 2 %, and what. Without one, the highest rate."""
    low, high = _LOWEST, _HIGHEST
    broken = simulate(replace(workload, rate=high), settings, costs, _SEARCH).over
    if broken is None:
        return Rung(high, None)
    while high / low > PRECISION:
        middle = math.sqrt(low * high)
        over = simulate(replace(workload, rate=middle), settings, costs, _SEARCH).over
        if over is None:
            low = middle
        else:
            high, broken = middle, over
    return Rung(high, broken)


def sized_for(workload: Workload, costs: Costs) -> Settings:
    """Return settings that hold a rate, each by what it needs alone; what is enough by default stays."""
    rate, default = workload.rate * HEADROOM, Settings()
    units = rate * (costs.row_units() + costs.tally_units(workload.counted))
    warm = max(default.events_warm, _round(rate * workload.kb))
    lanes = warm / facts.PARTITION_WCU * default.parallelization
    running = rate * costs.command_seconds(default) + min(lanes, rate * costs.batch_seconds(1, default))
    return replace(
        default,
        throttling_rate=max(default.throttling_rate, _round(rate)),
        gateway_quota=max(default.gateway_quota, _round(rate)),
        concurrency_quota=int(max(default.concurrency_quota, _round(running))),
        events_warm=warm,
        events_quota=max(default.events_quota, _round(rate * workload.kb)),
        read_models_warm=max(default.read_models_warm, _round(units)),
        read_models_quota=max(default.read_models_quota, _round(units)),
        list_shards=max(default.list_shards, math.ceil(rate * costs.index_units() / facts.PARTITION_WCU)),
        tally_shards=max(default.tally_shards, math.ceil(rate * workload.counted / costs.counter_limit())),
    )


def ladder(workload: Workload, costs: Costs) -> Iterator[Rung]:
    """Yield what breaks first, then what breaks next once that setting is made for the workload's rate, and so on."""
    settings, wanted = Settings(), sized_for(workload, costs)
    while True:
        found = breaking_point(workload, settings, costs)
        name = MOVED_BY.get(found.limit) if found.limit else None
        if name is None or found.rate > workload.rate or getattr(wanted, name) <= getattr(settings, name):
            yield found
            return
        before, after = getattr(settings, name), getattr(wanted, name)
        yield replace(found, setting=name, before=before, after=after)
        settings = replace(settings, **{name: after})


def hot_shard(settings: Settings, costs: Costs) -> Outcome:
    """Return how the mapping follows shards that are nearly full, everything behind them being wide enough."""
    rate = 0.95 * facts.PARTITION_WCU * settings.partitions
    wide = sized_for(Workload(10 * rate), costs)
    chosen = replace(
        wide,
        events_warm=settings.events_warm,
        parallelization=settings.parallelization,
        batch_size=settings.batch_size,
        batch_window=settings.batch_window,
        projection_writers=settings.projection_writers,
        memory_mb=settings.memory_mb,
    )
    return simulate(Workload(rate, skew=0), chosen, costs)


def minutes_to_grow(units: float, start: float = facts.NEW_TABLE_WCU) -> float:
    """Return how long a table takes to come to so many write units by itself: twice as many every 30 minutes."""
    return max(math.log2(units / start), 0) * facts.DOUBLING_SECONDS / 60


def _round(value: float) -> float:
    """Return the next value with two digits: a quota is asked for in round numbers."""
    power = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(round(value / power, 6)) * power
