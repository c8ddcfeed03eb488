"""Parking: what can't be projected is set aside with its reason, and everything else flows on.

A parked stream needs no lock. Its row stays at the last good version, so each later commit finds the gap, reads the
table and meets the same obstacle: nothing overtakes it. Once the cause is gone the next commit, or a redrive, goes
through and releases it. The event table is read for that, so the stream's 24 hours are no limit.

Another process may park the stream again meanwhile, for a commit that came later. So who releases a stream looks at
how it is parked first, then reads the event table to its end, and releases only that very parking: whatever was parked
later stays parked.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from eventfold.core.errors import EventfoldError
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def all_generations(read_model: str) -> str:
    """Return the name that a stream is parked under where nobody could read which generations a read model has.

    It then waits in all of them.
    """
    return f"{read_model}.*"


def read_model_of(name: str) -> str:
    """Return the read model that a stream is parked for under this name."""
    return GenerationName.parse(name.removesuffix(".*")).read_model


@dataclass(frozen=True, slots=True)
class Parked:
    """A stream that a projection can't go on with.

    `version` is the last one projected (0: none, None: it could not be read), `reason` the error by type and place,
    `since` the first failure, in UTC, `attempts` how often it failed. `token` is another one after each failure.
    """

    projection: str
    stream: str
    version: int | None
    reason: str
    since: datetime
    attempts: int
    token: str


class ParkedStore(Protocol):
    """The port that parked streams are kept behind."""

    def park(self, projection: str, stream: str, version: int | None, reason: str) -> None:
        """Set a stream aside; again counts one attempt more and keeps `since`, and `version` where none is told."""
        ...

    def find(self, projection: str, stream: str) -> Parked | None:
        """Return how a stream is parked, read consistently; None if it is not."""
        ...

    def release(self, parked: Parked) -> bool:
        """Forget that a stream was parked; False, and it stays parked, if that happened again since it was found."""
        ...

    def listed(self, projection: str | None = None) -> Iterator[Parked]:
        """Yield what is parked, of one projection or of all, read consistently."""
        ...


def reason_of(failure: Exception) -> str:
    """Return an error as one line without what it may quote: its type and place; the library's own words too."""
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    words = f": {failure}" if isinstance(failure, EventfoldError) else ""
    return f"{type(failure).__name__}{words}{place}"
