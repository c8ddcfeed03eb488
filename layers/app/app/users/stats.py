"""Statistics, a read model over all users: its rows, its `count`, its query. Each event is counted exactly once."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel

from app import main
from app.users.rules import USERS, UserCreated, UserDeleted, UserEvent
from eventfold.read_models.tallies import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold import Recorded

TOTAL = "total"
"""The row that counts all. Each other row counts a month, as `2026-01`, a day in it as `31.created`.

A month that is full lies below 1 KB, so that a write of it costs the same from its first day to its last.
"""


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
    month, day = _place(recorded.at.astimezone(UTC).date())
    yield TOTAL, counter, 1
    yield month, f"{day}.{counter}", 1


def _place(day: date) -> tuple[str, str]:
    """Return where a day is counted: the row, and what its counters begin with."""
    month, _, of_month = day.isoformat().rpartition("-")
    return month, of_month


STATS: Tally[UserEvent] = Tally(name="stats", category=USERS.category, codec=USERS.codec, count=count)


def stats_between(first: date, last: date) -> Stats:
    """Return the totals, and each day from `first` to `last` with something to show."""
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    places = [_place(day) for day in days]
    months = dict.fromkeys(month for month, _ in places)
    rows = main.application.tally_store.totals_active(STATS.name, [TOTAL, *months])
    total = rows.get(TOTAL, {})
    created, deleted = total.get("created", 0), total.get("deleted", 0)
    counted = [
        Day(day=day, created=month.get(f"{of_month}.created", 0), deleted=month.get(f"{of_month}.deleted", 0))
        for day, (name, of_month) in zip(days, places, strict=True)
        if (month := rows.get(name))
    ]
    shown = [day for day in counted if day.created or day.deleted]
    return Stats(created=created, deleted=deleted, active=created - deleted, days=shown)
