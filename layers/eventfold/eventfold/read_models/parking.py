"""Parking: what can't be projected is set aside with its reason, and everything else flows on.

A parked stream needs no lock. Its row stays at the last good version, so each later commit finds the gap, reads the
table and meets the same obstacle: nothing overtakes it. Once the cause is gone the next commit, or a redrive, goes
through and releases it. The event table is read for that, so the stream's 24 hours are no limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Parked:
    """A stream that a projection can't go on with.

    `version` is the last one projected (0: none), `reason` the error by type and place, `since` the first failure,
    in UTC, `attempts` how often it failed.
    """

    projection: str
    stream: str
    version: int
    reason: str
    since: datetime
    attempts: int


class ParkedStore(Protocol):
    """The port that parked streams are kept behind."""

    def park(self, projection: str, stream: str, version: int, reason: str) -> None:
        """Set a stream aside; again counts one attempt more and keeps `since`."""
        ...

    def release(self, projection: str, stream: str) -> None:
        """Forget that a stream was parked; nothing happens if it was not."""
        ...

    def listed(self, projection: str | None = None) -> Iterator[Parked]:
        """Yield what is parked, of one projection or of all."""
        ...
