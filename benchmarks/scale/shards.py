"""A shard's lanes: what Lambda's event source mapping runs side by side, each in the order of its stream."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from benchmarks.scale import facts

_NOTHING = 1e-12
"""Less is rounding."""


@dataclass
class LagSamples:
    """Lags in seconds, each for so many commits."""

    values: list[tuple[float, float]] = field(default_factory=list)

    def add(self, lag: float, commits: float) -> None:
        """Note a lag."""
        self.values.append((lag, commits))

    def percentile(self, percent: float) -> float:
        """Return the lag that `percent` of the commits do not exceed; not a number without any."""
        total = sum(commits for _, commits in self.values)
        seen = 0.0
        for lag, commits in sorted(self.values):
            seen += commits
            if seen >= total * percent / 100 * (1 - 1e-12):
                return lag
        return math.nan


@dataclass
class Lane:
    """One of a shard's batches side by side; gets `share` of the shard's commits."""

    share: float
    poll_phase: float
    free_at: float = 0.0
    waiting: float = 0.0
    running: float = 0.0
    """The batch under way; below 1, the chance that there is one: amounts are expected values."""
    _queue: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, now: float, commits: float) -> None:
        """Take in what was appended."""
        if commits > 0:
            self._queue.append((now, commits))
            self.waiting += commits

    def busy(self, now: float) -> float:
        """Return how many executions it has under way: one or, by chance, none."""
        return self.running if self.free_at > now + _NOTHING else 0.0

    def ready(self, now: float, step: float, batch_size: int, window: float) -> float:
        """Return how many commits its next batch has if that begins in this step; 0 if it does not.

        An idle lane gets what a poll finds; one with commits left over goes on at once.
        """
        if self.free_at > now + step - _NOTHING or not self._queue:
            return 0.0
        oldest = self._queue[0][0]
        if window and self.waiting < batch_size and now - oldest < window:
            return 0.0
        if self.waiting < batch_size and not self._polled(now, step):
            return 0.0
        return min(self.waiting, batch_size)

    def _polled(self, now: float, step: float) -> bool:
        polls = (now + step - self.poll_phase) // facts.POLL_SECONDS - (now - self.poll_phase) // facts.POLL_SECONDS
        return polls > 0

    def take(self, size: float, start: float, took: float, lags: LagSamples, weight: float) -> None:
        """Begin a batch; its commits are visible when it ends."""
        self.free_at = start + took
        self.running = min(size, 1.0)
        self.waiting = max(self.waiting - size, 0.0)
        left = size
        while left > _NOTHING and self._queue:
            at, commits = self._queue[0]
            part = min(commits, left)
            lags.add(self.free_at - at, part * weight)
            left -= part
            if part < commits:
                self._queue[0] = (at, commits - part)
            else:
                self._queue.popleft()

    def unfinished(self, lags: LagSamples, weight: float, now: float) -> None:
        """Count what still waits at the end with the lag it has by then: to leave it out would flatter."""
        for at, commits in self._queue:
            lags.add(now - at, commits * weight)
