"""The deployed shape in steps of time: gateway, command function, event table, stream, mapping, read models.

Amounts are expected values, so they are not whole; chance is in where hot streams lie and when a shard is polled, and
follows from the seed. Partitions without a hot stream are alike, so a few of them stand for all. What is throttled
is refused, as by the API: nobody sends it again.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from benchmarks.scale import facts
from benchmarks.scale.shards import LagSamples, Lane

if TYPE_CHECKING:
    from benchmarks.scale.model import Costs, Settings, Workload

STEP = 0.05
"""Seconds."""
HOT_STREAMS = 500
"""The busiest streams, which are looked at one by one."""
SAMPLED_PARTITIONS = 12


class Limit(StrEnum):
    """What can be over its limit."""

    STAGE = "ThrottlingRate"
    GATEWAY = "API Gateway's quota"
    CONCURRENCY = "Lambda's concurrency"
    GROWTH = "Lambda's growth"
    STREAM = "a hot stream"
    PARTITION = "an event partition"
    EVENTS_WARM = "event table, warm"
    EVENTS_QUOTA = "event table, quota"
    LANES = "the mapping's batches"
    READ_MODELS_WARM = "read models, warm"
    READ_MODELS_QUOTA = "read models, quota"
    INDEX = "index by_sort"
    TALLIES = "tally counters"


@dataclass
class Partition:
    """One partition of the event table with its shard; it stands for `weight` like it."""

    share: float
    weight: float
    lanes: list[Lane]
    queued: float = 0.0


@dataclass
class Outcome:
    """What became of the commands, and how the read models followed. Rates are a second, lags seconds."""

    seconds: float
    offered: float = 0.0
    appended: float = 0.0
    throttled: defaultdict[Limit, float] = field(default_factory=lambda: defaultdict(float))
    """Commands refused, by what refused them."""
    held_up: defaultdict[Limit, float] = field(default_factory=lambda: defaultdict(float))
    """Commits that a limit kept from being projected in their step, once for each step."""
    queued: float = 0.0
    projected: float = 0.0
    backlog: float = 0.0
    mean_backlogs: list[float] = field(default_factory=lambda: [0.0] * 4)
    """Commits not projected yet, the mean of each quarter of the run."""
    batches: float = 0.0
    peak_concurrency: float = 0.0
    peak_partition_wcu: float = 0.0
    command_seconds: float = 0.0
    batch_seconds: float = 0.0
    lags: LagSamples = field(default_factory=LagSamples)

    @property
    def keeps_up(self) -> bool:
        """Whether the backlog does not grow: from quarter to quarter by less than 1 % of what a quarter appends."""
        return self.mean_backlogs[3] - self.mean_backlogs[2] <= self.appended / 400

    @property
    def over(self) -> Limit | None:
        """The limit that cost the most, if any was more than one in a thousand."""
        if self.throttled:
            limit, amount = max(self.throttled.items(), key=lambda one: one[1])
            if amount > self.offered / 1000:
                return limit
        if not self.keeps_up:
            return max(self.held_up, key=lambda limit: self.held_up[limit], default=Limit.LANES)
        return None


@dataclass(frozen=True)
class Horizon:
    """How a run goes: how long, by which seed, and whether the functions have grown already or start at nothing."""

    seconds: float = 30
    seed: int = 1
    warm: bool = True


def simulate(workload: Workload, settings: Settings, costs: Costs, horizon: Horizon | None = None) -> Outcome:
    """Run for a while at a steady rate."""
    return _Run(workload, settings, costs, horizon or Horizon()).go()


class _Run:
    def __init__(self, workload: Workload, settings: Settings, costs: Costs, horizon: Horizon) -> None:
        self._workload, self._settings, self._costs, self._horizon = workload, settings, costs, horizon
        self._dice = random.Random(horizon.seed)
        self._commands_running = 0.0
        self._allowed: dict[Limit, float] = {}
        self._hot, lost = _hot_shares(workload, 1 / costs.command_seconds(settings))
        self._lost = lost
        self._partitions = self._cut()
        self._outcome = Outcome(0)
        self._now = 0.0
        self._busy = 0.0
        """Executions of the projection function at the moment."""

    def go(self) -> Outcome:
        """Run step by step."""
        steps = round(self._horizon.seconds / STEP)
        for step in range(steps):
            self._now = step * STEP
            self._append(self._admit(self._workload.rate * STEP))
            self._project()
            self._outcome.mean_backlogs[4 * step // steps] += self._backlog() / (steps / 4)
        out = self._outcome
        out.seconds = steps * STEP
        out.backlog = self._backlog()
        out.queued = sum(one.queued * one.weight for one in self._partitions)
        for one in self._partitions:
            for lane in one.lanes:
                lane.unfinished(out.lags, one.weight, out.seconds)
        return out

    def _cut(self) -> list[Partition]:
        """Return the hottest partitions and some others, with even shares of what is not hot. None gets nothing."""
        count = self._settings.partitions
        hot: defaultdict[int, float] = defaultdict(float)
        hottest: dict[int, float] = {}
        for share in self._hot:
            place = self._dice.randrange(count)
            hot[place] += share
            hottest[place] = max(hottest.get(place, 0), share)
        rest = max(1 - self._lost - sum(self._hot), 0) / count
        order = sorted(range(count), key=lambda place: -hot[place])
        half = SAMPLED_PARTITIONS // 2
        alone = order[: count if count <= SAMPLED_PARTITIONS else half]
        others = order[len(alone) :]
        partitions = [(rest + hot[place], 1.0, hottest.get(place, 0.0)) for place in alone]
        for start in range(half) if others else ():
            some = others[start::half]
            mean = sum(hot[place] for place in some) / len(some)
            partitions.append((rest + mean, float(len(some)), hottest.get(some[len(some) // 2], 0.0)))
        return [Partition(share, weight, self._lanes(share, top)) for share, weight, top in partitions if share]

    def _lanes(self, share: float, top: float) -> list[Lane]:
        """Return a shard's lanes: the hottest stream is in one of them, the rest is spread."""
        factor = self._settings.parallelization
        poll = self._dice.random() * facts.POLL_SECONDS
        top = min(top, share)
        even = (share - top) / factor
        return [Lane((even + (top if n == 0 else 0)) / share, poll) for n in range(factor)]

    # Commands ---------------------------------------------------------------------------------------------------------

    def _admit(self, offered: float) -> float:
        """Return what gets to the event table."""
        out, settings = self._outcome, self._settings
        out.offered += offered
        kept = self._refuse(offered, settings.throttling_rate * STEP, Limit.STAGE)
        kept = self._refuse(kept, settings.gateway_quota * STEP, Limit.GATEWAY)
        took = self._costs.command_seconds(settings)
        growth = facts.CONCURRENCY_STEP * (1 + self._now // facts.CONCURRENCY_STEP_SECONDS)
        if not self._horizon.warm:
            kept = self._refuse(kept, growth / took * STEP, Limit.GROWTH)
        # A mapping's lanes hold on to what they run: commands get the rest.
        free = max(settings.concurrency_quota - self._busy, 0)
        kept = self._refuse(kept, free / took * STEP, Limit.CONCURRENCY)
        self._commands_running = kept / STEP * took
        out.command_seconds += kept * took
        lost = kept * self._lost
        if lost > 0:
            out.throttled[Limit.STREAM] += lost
        allowed = settings.events_quota * STEP / self._workload.kb
        return self._refuse(kept - lost, allowed, Limit.EVENTS_QUOTA)

    def _refuse(self, amount: float, allowed: float, limit: Limit) -> float:
        if amount > allowed * (1 + 1e-9):
            self._outcome.throttled[limit] += amount - allowed
            return allowed
        return amount

    def _append(self, amount: float) -> None:
        """Write to the partitions; what one can't take is tried again for a second, then refused."""
        out, kb = self._outcome, self._workload.kb
        capacity = facts.PARTITION_WCU * STEP / kb
        rest = 1 - self._lost
        # A table that is too small everywhere is not one with a hot key.
        even = amount > capacity * self._settings.partitions
        limit = Limit.EVENTS_WARM if even else Limit.PARTITION
        for one in self._partitions:
            one.queued += amount * one.share / rest
            written = min(one.queued, capacity)
            one.queued -= written
            patience = capacity * facts.PATIENCE_SECONDS / STEP
            if one.queued > patience:
                out.throttled[limit] += (one.queued - patience) * one.weight
                one.queued = patience
            out.appended += written * one.weight
            out.peak_partition_wcu = max(out.peak_partition_wcu, written * kb / STEP)
            for lane in one.lanes:
                lane.add(self._now, written * lane.share)

    # Projections ------------------------------------------------------------------------------------------------------

    def _project(self) -> None:
        """Let every free lane begin its next batch, as far as the read models and the concurrency go."""
        out, settings = self._outcome, self._settings
        allowed = self._allowances()
        most = settings.concurrency_quota - min(self._commands_running, settings.concurrency_quota / 2)
        self._busy = sum(one.weight * lane.busy(self._now) for one in self._partitions for lane in one.lanes)
        turn = [(one, lane) for one in self._partitions for lane in one.lanes]
        self._dice.shuffle(turn)
        for one, lane in turn:
            size = lane.ready(self._now, STEP, settings.batch_size, settings.batch_window)
            if size <= 0:
                continue
            if self._busy + min(size, 1) * one.weight > max(most, 1):
                out.held_up[Limit.CONCURRENCY] += size * one.weight
                continue
            limit = min(allowed, key=lambda name: allowed[name])
            granted = min(size, max(allowed[limit], 0) / one.weight)
            if granted < size * (1 - 1e-9):
                out.held_up[limit] += (size - granted) * one.weight
            if granted < min(size, 1):
                continue
            for name in allowed:
                allowed[name] -= granted * one.weight
            self._begin(one, lane, granted)
        self._allowed = allowed
        out.peak_concurrency = max(out.peak_concurrency, self._busy + self._commands_running)

    def _begin(self, one: Partition, lane: Lane, size: float) -> None:
        out = self._outcome
        took = self._costs.batch_seconds(max(size, 1), self._settings)
        lane.take(size, max(self._now, lane.free_at), took, out.lags, one.weight)
        invocations = min(size, 1) * one.weight
        out.projected += size * one.weight
        out.batches += invocations
        out.batch_seconds += took * invocations
        self._busy += invocations

    def _allowances(self) -> dict[Limit, float]:
        """Return how many commits each part of the read models takes in this step; a second's rest is carried over."""
        rates = projection_limits(self._workload, self._settings, self._costs)
        return {limit: min(self._allowed.get(limit, 0) + rate * STEP, rate) for limit, rate in rates.items()}

    def _backlog(self) -> float:
        return sum(lane.waiting * one.weight for one in self._partitions for lane in one.lanes)


def projection_limits(workload: Workload, settings: Settings, costs: Costs) -> dict[Limit, float]:
    """Return how many commits a second each part of the read models takes."""
    units = costs.row_units() + costs.tally_units(workload.counted)
    counters = settings.tally_shards * costs.counter_limit()
    return {
        Limit.READ_MODELS_WARM: settings.read_models_warm / units,
        Limit.READ_MODELS_QUOTA: settings.read_models_quota / units,
        Limit.INDEX: settings.list_shards * facts.PARTITION_WCU / costs.index_units(),
        Limit.TALLIES: counters / workload.counted if workload.counted else float("inf"),
    }


def _hot_shares(workload: Workload, appends: float) -> tuple[list[float], float]:
    """Return the shares of the hot streams, and what they lose: a stream's commits come one after the other.

    A commit can only be decided once its predecessor is known, so a stream takes one in the time a command runs; the
    writers that lose more races than they have tries are refused.
    """
    most = appends / workload.rate
    shares = [workload.share(rank) for rank in range(1, min(HOT_STREAMS, workload.streams) + 1)]
    kept = [min(share, most) for share in shares]
    return kept, sum(shares) - sum(kept)
