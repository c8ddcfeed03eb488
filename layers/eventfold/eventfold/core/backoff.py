"""Pauses between attempts: longer each time, and by chance, so that those who collided do not collide again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full jitter, in seconds: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/."""

    attempts: int = 8
    base: float = 0.01
    cap: float = 0.32

    def seconds(self, attempt: int) -> float:
        """Return how long to wait before the attempt that follows number `attempt`, counted from 0."""
        return random.uniform(0, min(self.cap, self.base * 2**attempt))  # noqa: S311 - jitter, not a secret

    def wait(self, attempt: int) -> None:
        """Sleep that long."""
        time.sleep(self.seconds(attempt))
