"""What queries ask of DynamoDB: requests, read units, dollars, as tests/integration/test_query_costs.py has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import prices
from benchmarks.scale import facts
from eventfold.dynamodb.batches import MAX_BATCH_GET, SIDE_BY_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPANS = {"1 day": 1, "30 days": 2, "366 days": 13}
"""Spans of days, and the months that they lie in: one more, where February lies in between."""


@dataclass(frozen=True)
class Asked:
    """The requests of one query, of a warm process, and the read units that they cost."""

    requests: int
    read_units: float

    @property
    def dollars_a_million(self) -> float:
        """What a million of them cost."""
        return self.read_units * prices.READ_UNIT * 1e6

    def waits(self, round_trip: float) -> float:
        """Return how many seconds it waits for DynamoDB, some requests side by side."""
        return math.ceil(self.requests / SIDE_BY_SIDE) * round_trip


def by_id() -> Asked:
    """Return what GET /users/{id} asks for: the row and the control item, in one request, consistently."""
    return Asked(1, 2)


def listed(rows: int, row_bytes: int) -> Asked:
    """Return what a page of the list asks for that lies in one range: the index is read eventually consistent."""
    return Asked(1, units(rows * row_bytes) / 2)


def listed_by_hash(rows: int, row_bytes: int, shards: int) -> Asked:
    """Return what the page would ask for, were the list spread by a hash: of each partition a whole page."""
    return Asked(shards, shards * units(rows * row_bytes) / 2)


def stats(months: int, shards: int) -> Asked:
    """Return what GET /stats asks for: consistently, a total and each month from all shards, and two items more."""
    keys = 2 + shards * (1 + months)
    return Asked(math.ceil(keys / MAX_BATCH_GET), keys)


def rows(shards: Sequence[int], round_trip: float) -> Iterator[tuple[str, ...]]:
    """Yield what each query asks for, as the page shows it; statistics by how many shards the counters have."""
    page = listed(21, facts.LISTED_ROW_BYTES)
    asked = [("`GET /users/{id}`", "", by_id()), ("`GET /users`, 20 of them", "", page)]
    for number in shards:
        asked += [(f"`GET /stats`, {span}", f"{number:,}", stats(months, number)) for span, months in SPANS.items()]
    for name, spread, one in asked:
        figures = (f"{one.read_units:,g}", f"{one.dollars_a_million:,.2f}", f"{1000 * one.waits(round_trip):,g}")
        yield name, spread, f"{one.requests:,}", *figures


def units(size: int) -> int:
    """Return the read units of so many bytes in one request, read consistently."""
    return max(math.ceil(size / facts.READ_UNIT_BYTES), 1)
