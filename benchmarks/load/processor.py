"""CPU time by part: the emulator, the functions' processes under it, and whoever asks."""

from __future__ import annotations

import psutil


def cpu_seconds(starter: int) -> dict[str, float]:
    """Return the CPU seconds used so far. `starter` is the process that the emulator runs under, by its id."""
    used = {"emulator": 0.0, "functions": 0.0, "client": _own(psutil.Process())}
    for child in psutil.Process(starter).children(recursive=True):
        if child.cmdline()[1:] == ["-m", "ministack"]:
            used["emulator"] += _own(child)
            used["functions"] += sum(_own(one) for one in child.children(recursive=True))
    return used


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
