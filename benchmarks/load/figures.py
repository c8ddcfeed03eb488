"""A run of the load in figures, and what they were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from pydantic import BaseModel

from benchmarks.load.samples import milliseconds
from benchmarks.load.timings import CpuTimes, Line  # noqa: TC001 - pydantic reads them at run time

if TYPE_CHECKING:
    from benchmarks.load.samples import Samples


class Phase(BaseModel, frozen=True):
    """One run: `users` sent the mix one request after the other. CPU is for each request, the probe's too."""

    users: int
    seconds: float
    requests: int
    commands: int
    probe_requests: int
    probe_samples: int
    errors: int
    requests_a_second: float
    latency_p50_ms: float
    latency_p99_ms: float
    lag_p50_ms: float
    lag_p99_ms: float
    cpu_emulator_ms: float
    cpu_functions_ms: float
    cpu_client_ms: float


class Measured(BaseModel, frozen=True):
    """All that `make load` measures: what the simulation reckons with."""

    machine: dict[str, str]
    alone: Phase
    load: Phase
    emulated_projection: Line
    cpu: CpuTimes


def phase(samples: Samples, users: int) -> Phase:
    """Return a run's figures."""
    mix, lags = samples.mix, [one.seconds for one in samples.lags]
    latencies = [one.seconds for one in mix]
    first, last = samples.cpu[0], samples.cpu[-1]
    within = sum(first.at <= one.at + one.seconds <= last.at for one in samples.answers) or 1
    return Phase(
        users=users,
        seconds=round(samples.seconds, 1),
        requests=len(mix),
        commands=sum(one.command is not None for one in mix),
        probe_requests=len(samples.answers) - len(mix),
        probe_samples=len(lags),
        errors=len(samples.errors),
        requests_a_second=round(len(mix) / samples.seconds, 2),
        latency_p50_ms=round(milliseconds(latencies, 50), 1),
        latency_p99_ms=round(milliseconds(latencies, 99), 1),
        lag_p50_ms=round(milliseconds(lags, 50), 1),
        lag_p99_ms=round(milliseconds(lags, 99), 1),
        cpu_emulator_ms=round((last.emulator - first.emulator) * 1000 / within, 2),
        cpu_functions_ms=round((last.functions - first.functions) * 1000 / within, 2),
        cpu_client_ms=round((last.client - first.client) * 1000 / within, 2),
    )


def machine() -> dict[str, str]:
    """Return what was measured on, and with which versions."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "boto3": version("boto3"),
        "eventfold": version("eventfold"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - Linux alone has it
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
