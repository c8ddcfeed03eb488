"""The deployed shape as the simulation sees it: who sends what, which settings it runs with, how long things take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.scale import facts

if TYPE_CHECKING:
    from benchmarks.load.figures import Measured


@dataclass(frozen=True)
class Workload:
    """Commands, `rate` a second, over `streams` by Zipf: the k-th busiest gets a share like 1 / k ** `skew`.

    Of the commands, `counted` create or delete, and so change counters; the others update. A commit has `kb` KB.
    """

    rate: float
    streams: int = 10_000_000
    skew: float = 0.5
    counted: float = 0.2
    kb: int = 1

    def share(self, rank: int) -> float:
        """Return the share of all commands that the stream of a rank (1 is the busiest) gets."""
        return float(rank**-self.skew) / _harmonic(self.streams, self.skew)

    def share_of_first(self, ranks: int) -> float:
        """Return the share of the busiest `ranks` streams together."""
        return _harmonic(ranks, self.skew) / _harmonic(self.streams, self.skew)


def _harmonic(count: int, power: float) -> float:
    """Return the sum of k ** -power for k to `count`, its tail by the Euler-Maclaurin formula."""
    exact = min(count, 1_000)
    total = sum(k**-power for k in range(1, exact + 1))
    if count > exact:
        a, b = exact, count
        integral = math.log(b / a) if power == 1 else (b ** (1 - power) - a ** (1 - power)) / (1 - power)
        total += integral + (b**-power - a**-power) / 2
    return float(total)


@dataclass(frozen=True)
class Settings:
    """What can be set: parameters of template.yaml, and quotas and warm throughput asked of AWS."""

    throttling_rate: float = 500
    parallelization: int = 4
    batch_size: int = 100
    batch_window: float = 0
    projection_writers: int = 8
    list_shards: int = 4
    tally_shards: int = 8
    memory_mb: int = 1_024
    gateway_quota: float = facts.GATEWAY_QUOTA
    concurrency_quota: int = facts.CONCURRENCY_QUOTA
    events_quota: float = facts.TABLE_QUOTA_WCU
    read_models_quota: float = facts.TABLE_QUOTA_WCU
    events_warm: float = facts.NEW_TABLE_WCU
    read_models_warm: float = facts.NEW_TABLE_WCU

    @property
    def partitions(self) -> int:
        """Partitions of the event table, each with its shard in the stream."""
        return max(math.ceil(self.events_warm / facts.PARTITION_WCU), 1)


@dataclass(frozen=True)
class Costs:
    """Capacity and time of one command and of a projection's batch: from what was measured, and the documented rest."""

    measured: Measured
    round_trip: float = facts.DYNAMODB_SECONDS

    def command_seconds(self, settings: Settings) -> float:
        """Return how long a command runs: its CPU, the read of its stream, the write of its commit."""
        return self.measured.cpu.update_ms / 1000 / _cpu_share(settings) + 2 * self.round_trip

    def batch_seconds(self, commits: float, settings: Settings) -> float:
        """Return how long a projection's batch runs, its commits all of different streams.

        Both read models are brought on one after the other: one read, then the rows side by side. CPU and waiting
        overlap, since each writer waits by itself. An update's checkpoint moves by a transaction too.
        """
        cpu = self.measured.cpu.projection
        share = _cpu_share(settings)
        turns = math.ceil(commits / settings.projection_writers)
        waiting = turns * 3 * self.round_trip
        reads = 2 * self.round_trip
        return cpu.fixed_ms / 1000 / share + reads + max(cpu.per_commit_ms / 1000 / share * commits, waiting)

    def counter_limit(self) -> float:
        """Return how many transactions a second one item of a counter takes.

        One at a time; another one that comes meanwhile is refused and tries again: a server without a queue, which
        refuses the share load / (1 + load) of all tries (Erlang's loss formula). The limit is where all tries of a
        transaction are refused CONFLICT_LOSS of the time.
        """
        refused: float = facts.CONFLICT_LOSS ** (1 / facts.CONFLICT_RETRIES)
        return refused / (2 * self.round_trip)

    @staticmethod
    def row_units() -> float:
        """Return the write units of a commit's row in the read-model table."""
        return 1

    @staticmethod
    def index_units() -> float:
        """Return its units in the index: a changed sort key is a delete and a put."""
        return 2

    @staticmethod
    def tally_units(counted: float) -> float:
        """Return the units of its transaction: the checkpoint, and for what is counted the total and the day."""
        return facts.TRANSACTION_FACTOR * (1 + 2 * counted)


def _cpu_share(settings: Settings) -> float:
    return min(settings.memory_mb / facts.VCPU_MB, 1.0)
