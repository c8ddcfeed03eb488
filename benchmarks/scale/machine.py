"""The single machine of `make load`, simulated: a few users in a closed loop, two cores, one emulator.

What goes in was measured with one user: latency, CPU of a request by part, a projection's batch. What comes out is held
against the run with all users. Processor sharing in steps of a millisecond: whoever needs CPU gets an even share of
the cores, the emulator never more than one (Python's interpreter lock).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.load.samples import percentile

if TYPE_CHECKING:
    from benchmarks.load.figures import Measured

STEP = 0.001
"""Seconds."""
THROUGHPUT_FACTOR, LAG_FACTOR = 1.5, 2.0
"""The simulation and the measured run differ by less: in throughput; in the lag's p50 and p99.

Wider than on a machine that does nothing else: whatever runs beside the load slows the measured run down.
"""
LOOK_PAUSE = 0.02
"""The probe's pause between two looks (`POLL_SECONDS` of the locustfile)."""
_PARTS = ("client", "emulator", "functions")


@dataclass(frozen=True)
class Demand:
    """What one request needs of the machine, in seconds: waiting that needs no CPU, then CPU by part."""

    waiting: float
    client: float
    emulator: float
    functions: float

    @classmethod
    def of_alone(cls, measured: Measured) -> Demand:
        """Return the mean request's demand, from the run with one user: the projections' CPU is spread over them."""
        alone = measured.alone
        client, emulator = alone.cpu_client_ms / 1000, alone.cpu_emulator_ms / 1000
        functions = alone.cpu_functions_ms / 1000
        latency = 1 / alone.requests_a_second
        return cls(max(latency - client - emulator - functions, 0), client, emulator, functions)


@dataclass
class Job:
    """Somebody who waits, then needs CPU of each part in turn."""

    waits_until: float
    needs: dict[str, float]

    def part(self) -> str | None:
        """Return the part whose CPU it needs next."""
        return next((name for name in self.needs if self.needs[name] > 0), None)


@dataclass
class Ran:
    """What came of it. Lags in seconds."""

    seconds: float
    requests: int = 0
    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    @property
    def requests_a_second(self) -> float:
        """Throughput."""
        return self.requests / self.seconds

    def lag(self, percent: float) -> float:
        """Return a percentile of the lag."""
        return percentile(self.lags, percent)


def simulate(measured: Measured, *, users: int, seconds: float = 60, cores: int = 2, seed: int = 1) -> Ran:
    """Run the closed loop: `users` and a projection that takes whatever has been appended, one batch at a time."""
    return _Machine(measured, users, cores, random.Random(seed)).go(seconds)


class _Machine:
    def __init__(self, measured: Measured, users: int, cores: int, dice: random.Random) -> None:
        self._measured, self._cores, self._dice = measured, cores, dice
        self._demand = Demand.of_alone(measured)
        self._command_share = measured.load.commands / measured.load.requests
        self._now = 0.0
        # The last one is the probe, whose requests load the machine and are not counted.
        self._probe_pause = measured.load.seconds / max(measured.load.probe_requests, 1)
        self._users = [self._request() for _ in range(users + 1)]
        self._began = [0.0] * (users + 1)
        self._batch: Job | None = None
        self._appended: list[float] = []
        self._projecting: list[float] = []

    def go(self, seconds: float) -> Ran:
        """Run step by step."""
        ran = Ran(seconds)
        for step in range(round(seconds / STEP)):
            self._now = step * STEP
            self._start_batch()
            self._work()
            self._finish(ran)
        return ran

    def _request(self, pause: float = 0) -> Job:
        """Return a request; they differ, evenly between half and one and a half of the mean."""
        size, demand = self._dice.uniform(0.5, 1.5), self._demand
        return Job(
            self._now + (pause or demand.waiting * size), {name: getattr(demand, name) * size for name in _PARTS}
        )

    def _start_batch(self) -> None:
        if self._batch is None and self._appended:
            took = self._measured.emulated_projection.seconds(len(self._appended))
            demand = self._demand
            emulated = demand.emulator / (demand.emulator + demand.functions)
            self._batch = Job(0, {"emulator": took * emulated, "functions": took * (1 - emulated)})
            self._projecting, self._appended = self._appended, []

    def _work(self) -> None:
        """Share the cores out for one step. A batch is slowed down by the requests; its CPU is in theirs already."""
        jobs = [one for one in self._users if one.waits_until <= self._now and one.part()]
        emulated = sum(one.part() == "emulator" for one in jobs)
        if self._batch is not None:
            in_emulator = self._batch.part() == "emulator"
            _spend(
                self._batch, self._share(len(jobs) - emulated + (not in_emulator), emulated + in_emulator, in_emulator)
            )
        own, shared = (self._share(len(jobs) - emulated, emulated, one) for one in (False, True))
        for one in jobs:
            _spend(one, shared if one.part() == "emulator" else own)

    def _share(self, others: int, emulated: int, in_emulator: bool) -> float:  # noqa: FBT001 - one of two
        """Return what a job gets of a step: the interpreter lock lets one of the emulator's threads run."""
        each = min(self._cores / max(others + bool(emulated), 1), 1.0) * STEP
        return each / emulated if in_emulator and emulated else each

    def _finish(self, ran: Ran) -> None:
        end = self._now + STEP
        for number, one in enumerate(self._users):
            if one.waits_until > self._now or one.part() is not None:
                continue
            if self._dice.random() < self._command_share:
                self._appended.append(end)
            if number == len(self._users) - 1:
                self._users[number] = self._request(self._probe_pause)
                continue
            ran.requests += 1
            ran.latencies.append(end - self._began[number])
            self._began[number] = end
            self._users[number] = self._request()
        if self._batch is not None and self._batch.part() is None:
            # The probe looks again and again; the first look whose read comes after the write shows it. A look takes as
            # long as the other requests do now, and its read is taken to be in its middle.
            look = ran.latencies[-1] if ran.latencies else 0.0
            seen = (self._dice.uniform(0, look + LOOK_PAUSE) + look / 2 for _ in self._projecting)
            ran.lags += [end - at + more for at, more in zip(self._projecting, seen, strict=True)]
            self._batch = None


def _spend(job: Job, seconds: float) -> None:
    part = job.part()
    if part is not None:
        job.needs[part] -= seconds
