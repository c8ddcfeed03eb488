"""Statistics, a read model over all users: its rows, its `count`, its query. Each event is counted exactly once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel

from app.users.rules import USERS, UserCreated, UserDeleted, UserEvent
from eventfold.read_models.tallies import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold import Recorded
    from eventfold.read_models.tallies import TallyStore

TOTAL = "total"


class Day(BaseModel, frozen=True):
    """What happened on one day, in UTC."""

    day: date
    created: int = 0
    deleted: int = 0


class Stats(BaseModel, frozen=True):
    """Users ever created and deleted, those active now, and the days asked for on which anything happened."""

    created: int
    deleted: int
    active: int
    days: list[Day]


def count(recorded: Recorded[UserEvent]) -> Iterator[tuple[str, str, int]]:
    """Yield what one event adds: row, counter, amount."""
    match recorded.event:
        case UserCreated():
            counter = "created"
        case UserDeleted():
            counter = "deleted"
        case _:
            return
    yield TOTAL, counter, 1
    yield recorded.at.date().isoformat(), counter, 1


STATS: Tally[UserEvent] = Tally(name="stats", category=USERS.category, codec=USERS.codec, count=count)


class UserStats:
    """Answers queries from the counters."""

    def __init__(self, tallies: TallyStore) -> None:
        self._tallies = tallies

    def get(self, first: date, last: date) -> Stats:
        """Return the totals, and each day from `first` to `last` with something to show."""
        days = [first + timedelta(n) for n in range((last - first).days + 1)]
        totals = self._tallies.totals_active(STATS.name, [TOTAL, *(day.isoformat() for day in days)])
        total = totals.get(TOTAL, {})
        created, deleted = total.get("created", 0), total.get("deleted", 0)
        shown = [
            Day(day=day, created=counters.get("created", 0), deleted=counters.get("deleted", 0))
            for day in days
            if (counters := totals.get(day.isoformat()))
        ]
        return Stats(created=created, deleted=deleted, active=created - deleted, days=shown)
