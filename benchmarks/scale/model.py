"""The deployed shape as arithmetic: what each part takes, where it ends, how soon events show, what a day costs.

Each limit is its capacity divided by what a command needs of it. Times and units are those measured by `make load` and
asserted in the tests; limits and prices are AWS's, in `facts.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import prices
from benchmarks.scale import facts
from eventfold.read_models.tallies import TOGETHER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.figures import Measured

HEADROOM = 1.25
"""By how much a setting made for a rate is above what the rate needs."""
DAY = 86_400


@dataclass(frozen=True)
class Workload:
    """Commands, `rate` a second, over `streams` by Zipf: the k-th busiest gets a share like 1 / k ** `skew`.

    Of the commands, `counted` create or delete, half of them each, and so change counters; of the others half rename a
    user, which moves it in the list, and half change its e-mail address. A commit has `kb` KB.
    """

    rate: float
    streams: int = 10_000_000
    skew: float = 0.5
    counted: float = 0.2
    kb: int = 1

    @property
    def renamed(self) -> float:
        """The share of commands that rename."""
        return (1 - self.counted) / 2

    @property
    def readdressed(self) -> float:
        """The share of commands that change an e-mail address: as many as rename."""
        return self.renamed

    def share(self, rank: int) -> float:
        """Return the share of all commands that the stream of a rank (1 is the busiest) gets."""
        return float(rank**-self.skew) / _harmonic(self.streams, self.skew)


@dataclass(frozen=True)
class Settings:
    """What can be set: parameters of template.yaml, and quotas and warm throughput asked of AWS.

    A new stack's list lies in one partition. A rebuild spreads it over `ListShards`.
    """

    throttling_rate: float = 500
    parallelization: int = 4
    batch_size: int = 100
    projection_writers: int = 8
    list_shards: int = 1
    tally_shards: int = 4
    memory_mb: int = 1_024
    gateway_quota: float = facts.GATEWAY_QUOTA
    concurrency_quota: int = facts.CONCURRENCY_QUOTA
    events_quota: float = facts.TABLE_QUOTA_WCU
    read_models_quota: float = facts.TABLE_QUOTA_WCU
    events_warm: float = facts.NEW_TABLE_WCU
    read_models_warm: float = facts.NEW_TABLE_WCU

    @property
    def lanes(self) -> int:
        """Batches that run side by side: so many for each shard, and a partition of the event table has one shard."""
        return max(math.ceil(self.events_warm / facts.PARTITION_WCU), 1) * self.parallelization


class Limit(NamedTuple):
    """Where one part ends, in commands a second, and the setting that moves it."""

    name: str
    rate: float
    setting: str


class Rung(NamedTuple):
    """What breaks next, and the setting that was raised for it."""

    limit: Limit
    before: float = 0
    after: float = 0


@dataclass(frozen=True)
class Model:
    """What a command costs each part, in seconds and units, and what follows from it."""

    measured: Measured
    round_trip: float = facts.DYNAMODB_SECONDS

    def command_seconds(self, settings: Settings) -> float:
        """Return how long a command runs: its CPU, the read of its stream, the write of its commit."""
        return self.measured.cpu.update_ms / 1000 / _cpu_share(settings) + 2 * self.round_trip

    def batch_seconds(self, commits: float, settings: Settings) -> float:
        """Return how long a projection's batch runs, its commits all of different streams.

        Both read models are brought on one after the other: one read, then side by side a put for each commit, and a
        transaction for each that counts: all of them, at the worst. CPU and waiting overlap, since each writer waits
        by itself.
        """
        cpu, share = self.measured.cpu.projection, _cpu_share(settings)
        waiting = math.ceil(commits / settings.projection_writers) * 3 * self.round_trip
        working = cpu.per_commit_ms / 1000 / share * commits
        return cpu.fixed_ms / 1000 / share + 2 * self.round_trip + max(working, waiting)

    def read_model_units(self, workload: Workload, commits: float = 1, shards: int = 1) -> float:
        """Return a commit's write units in the read-model table, in batches of so many: its row, and what it counts.

        A commit that counts has its checkpoint in a transaction, beside total and month, which the others in it share.
        tests/integration/test_read_model_costs.py has the same.
        """
        return 1 + facts.TRANSACTION_FACTOR * (workload.counted + 2 * self.transactions(workload, commits, shards))

    def transactions(self, workload: Workload, commits: float, shards: int) -> float:
        """Return a commit's share of transactions, in batches of so many: those that count in one shard have one.

        Up to `TOGETHER` of them.
        """
        any_counts: float = 1 - (1 - workload.counted / shards) ** commits
        return max(any_counts * shards / commits, workload.counted / TOGETHER)

    def index_units(self, workload: Workload) -> float:
        """Return a commit's write units in the index: its row's entry, written or moved."""
        return 1 + (facts.MOVED_UNITS - 1) * workload.renamed

    def read_units(self, workload: Workload) -> float:
        """Return a commit's read units for the read models: row, and checkpoint where it counts, at half price.

        A deletion finds that the checkpoint has not seen the updates: it asks whether the stream is parked, and reads
        them.
        """
        updates = 2 * (1 - workload.counted) / workload.counted
        return (1 + workload.counted) / 2 + workload.counted / 2 * (1 + math.ceil(updates * workload.kb / 4))

    def counter_limit(self) -> float:
        """Return how many transactions a second one item of a counter takes.

        One at a time; another one that comes meanwhile is refused and tries again: a server without a queue, which
        refuses the share load / (1 + load) of all tries (Erlang's loss formula). The limit is where all tries of a
        transaction are refused CONFLICT_LOSS of the time.
        """
        refused: float = facts.CONFLICT_LOSS ** (1 / facts.CONFLICT_RETRIES)
        return refused / (2 * self.round_trip)

    def limits(self, workload: Workload, settings: Settings) -> list[Limit]:
        """Return where each part ends, the lowest first."""
        command, units = self.command_seconds(settings), self.read_model_units(workload)
        served = settings.lanes * settings.batch_size / self.batch_seconds(settings.batch_size, settings)
        beside = (settings.concurrency_quota - settings.lanes) / command
        alone = settings.concurrency_quota / (command + self.batch_seconds(1, settings))
        shared = self.transactions(workload, self.batch(workload.rate, _spread(workload)), settings.tally_shards)
        found = [
            Limit("ThrottlingRate", settings.throttling_rate, "throttling_rate"),
            Limit("API Gateway's quota", settings.gateway_quota, "gateway_quota"),
            Limit("Lambda's concurrency", max(beside, alone), "concurrency_quota"),
            Limit("event table, warm", settings.events_warm / workload.kb, "events_warm"),
            Limit("event table, quota", settings.events_quota / workload.kb, "events_quota"),
            Limit("stream mapping", served, "events_warm"),
            Limit("read models, warm", settings.read_models_warm / units, "read_models_warm"),
            Limit("read models, quota", settings.read_models_quota / units, "read_models_quota"),
            Limit(
                "index by_sort", settings.list_shards * facts.PARTITION_WCU / self.index_units(workload), "list_shards"
            ),
            Limit("counters", settings.tally_shards * self.counter_limit() / shared, "tally_shards"),
        ]
        return sorted(found, key=lambda limit: limit.rate)

    def sized_for(self, workload: Workload) -> Settings:
        """Return settings that hold a rate, each by what it needs alone; what is enough by default stays."""
        rate, default = workload.rate * HEADROOM, Settings()
        units = _round(rate * self.read_model_units(workload))
        events = _round(rate * workload.kb)
        sized = _spread(workload)
        size = self.batch(rate, sized)

        def holds(shards: int) -> bool:
            return rate * self.transactions(workload, size, shards) <= shards * self.counter_limit()

        running = rate * self.command_seconds(default) + min(sized.lanes, rate * self.batch_seconds(1, default))
        return replace(
            sized,
            throttling_rate=max(default.throttling_rate, _round(rate)),
            gateway_quota=max(default.gateway_quota, _round(rate)),
            concurrency_quota=int(max(default.concurrency_quota, _round(running))),
            events_quota=max(default.events_quota, events),
            read_models_warm=max(default.read_models_warm, units),
            read_models_quota=max(default.read_models_quota, units),
            list_shards=max(default.list_shards, math.ceil(rate * self.index_units(workload) / facts.PARTITION_WCU)),
            tally_shards=next(one for one in count(default.tally_shards) if holds(one)),
        )

    def ladder(self, workload: Workload) -> Iterator[Rung]:
        """Yield what breaks first, then what breaks once that setting is made for the workload's rate, and so on."""
        settings, wanted = Settings(), self.sized_for(workload)
        while True:
            limit = self.limits(workload, settings)[0]
            before, after = (getattr(one, limit.setting) for one in (settings, wanted))
            if limit.rate > workload.rate or after <= before:
                yield Rung(limit)
                return
            yield Rung(limit, before, after)
            settings = replace(settings, **{limit.setting: after})

    def accepted(self, workload: Workload, settings: Settings) -> float:
        """Return how many of the commands a second pass the lowest limit."""
        return min(workload.rate, self.limits(workload, settings)[0].rate)

    def batch(self, rate: float, settings: Settings) -> float:
        """Return how many commits a batch has: what a lane gets between two polls, or while the last one runs."""
        size, a_lane = 1.0, rate / settings.lanes
        for _ in range(100):  # A larger batch takes longer, and so finds more waiting: a fixed point.
            size = min(
                max(a_lane * max(facts.POLL_SECONDS, self.batch_seconds(size, settings)), 1), settings.batch_size
            )
        return size

    def lag(self, rate: float, settings: Settings) -> tuple[float, float]:
        """Return the lag of a commit that waits half a poll, and of one that waits a whole one, in seconds."""
        took = self.batch_seconds(self.batch(rate, settings), settings)
        return facts.POLL_SECONDS / 2 + took, facts.POLL_SECONDS + took

    def dollars_a_day(self, workload: Workload, settings: Settings) -> dict[str, float]:
        """Return the bill by item: queries, storage, backups and traffic are not in it.

        A throttled request costs its line in the access log alone (https://aws.amazon.com/api-gateway/pricing/). A
        command reads its stream once, eventually consistent, for half a read unit; logs are those of LogLevel INFO, and
        traces are off.
        """
        rate, cpu, gigabytes = self.accepted(workload, settings), self.measured.cpu, settings.memory_mb / 1024
        commands, size = rate * DAY, self.batch(rate, settings)
        batches = commands / size
        logged = workload.rate * DAY * facts.ACCESS_LOG_BYTES + batches * cpu.batch_log_bytes
        logged += commands * (cpu.command_log_bytes + cpu.commit_log_bytes)
        units = self.read_model_units(workload, size, settings.tally_shards) + self.index_units(workload)
        first = min(commands, facts.GATEWAY_TIER_A_DAY)
        return {
            "API Gateway": first * facts.GATEWAY_REQUEST + (commands - first) * facts.GATEWAY_REQUEST_PAST_300_M,
            "Lambda, commands": _lambda(commands, self.command_seconds(settings) * gigabytes),
            "Lambda, projections": _lambda(batches, self.batch_seconds(size, settings) * gigabytes),
            "events": commands * (workload.kb * prices.WRITE_UNIT + 0.5 * prices.READ_UNIT),
            "read models": commands * (units * prices.WRITE_UNIT + self.read_units(workload) * prices.READ_UNIT),
            "logs": logged / 1024**3 * facts.LOG_GB,
        }

    def unique_key_units(self, workload: Workload) -> tuple[float, float]:
        """Return a commit's write units more where emails are unique: in the event table, and of the claims.

        What creates, deletes or changes the email is a transaction then, and claims, releases, or both.
        """
        changed = workload.readdressed
        events = (facts.TRANSACTION_FACTOR - 1) * workload.kb * (workload.counted + changed)
        return events, facts.TRANSACTION_FACTOR * (workload.counted + 2 * changed)

    def first_minute(self, workload: Workload, settings: Settings) -> float:
        """Return the share of commands accepted in the first minute: Lambda grows by 1,000 executions in 10 s."""
        took = self.command_seconds(settings)
        steps = [facts.CONCURRENCY_STEP * n / took for n in range(1, 60 // facts.CONCURRENCY_STEP_SECONDS + 1)]
        return sum(min(one / workload.rate, 1) for one in steps) / len(steps)


def hours_to_grow(units: float) -> float:
    """Return how long a new table takes to come to so many write units by itself: twice as many every 30 minutes."""
    return max(math.log2(units / facts.NEW_TABLE_WCU), 0) * facts.DOUBLING_SECONDS / 3600


@cache
def _harmonic(count: int, power: float) -> float:
    """Return the sum of k ** -power for k to `count`, its tail by the Euler-Maclaurin formula."""
    exact = min(count, 1_000)
    total = sum(k**-power for k in range(1, exact + 1))
    if count > exact:
        a, b = exact, count
        integral = math.log(b / a) if power == 1 else (b ** (1 - power) - a ** (1 - power)) / (1 - power)
        total += integral + (b**-power - a**-power) / 2
    return float(total)


def _spread(workload: Workload) -> Settings:
    """Return the settings with the event table sized: it says how many lanes there are, and so how large a batch is."""
    events = _round(workload.rate * HEADROOM * workload.kb)
    return replace(Settings(), events_warm=max(Settings().events_warm, events))


def _cpu_share(settings: Settings) -> float:
    return min(settings.memory_mb / facts.VCPU_MB, 1.0)


def _lambda(requests: float, gigabyte_seconds: float) -> float:
    return requests * (facts.LAMBDA_REQUEST + gigabyte_seconds * facts.LAMBDA_GB_SECOND)


def _round(value: float) -> float:
    """Return the next value with two digits: a quota is asked for in round numbers."""
    power = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(round(value / power, 6)) * power
