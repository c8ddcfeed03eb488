"""Long streams on DynamoDB's own pages: one of large commits still loads; of one of many commits little is read."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from pydantic import BaseModel

from eventfold import (
    Command,
    CommandHandler,
    Commit,
    Decider,
    Event,
    EventStore,
    Snapshot,
    load,
    load_at,
    load_version,
    take_snapshot,
)
from eventfold.aggregates.history import read_page
from eventfold.aggregates.pages import DEFAULT_INTERVAL
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.items import commit_to_item, snapshot_to_item
from eventfold.testing import Meter
from tests.domain import COUNTER, Added, Counter
from tests.support import put_all

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local


@pytest.fixture
def store(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> DynamoDBEventStore:
    return DynamoDBEventStore(local_client, local_tables[0])


# --- Large commits without a snapshot ---------------------------------------------------------------------

COMMITS = 60
A_PAGE = 5
"""Commits that fill a page."""
PAGE_SIZE = 2**20
"""Doubled without a cap, a page's limit passes DynamoDB's greatest number, 2^31 - 1, at page 12."""


class Write(Command):
    pass


class Written(Event, name="Written", version=1):
    text: str


class Document(BaseModel, frozen=True):
    parts: int = 0


DOCUMENTS: Decider[Write, Document, Written] = Decider(
    "document", Document(), lambda *_: [Written(text="")], lambda state, _: Document(parts=state.parts + 1), (Written,)
)
TEXT = base64.b64encode(random.Random(1).randbytes(255_000)).decode()  # noqa: S311 - a seed; it does not compress


def test_a_stream_of_large_commits(local_client: DynamoDBClient, store: DynamoDBEventStore) -> None:
    events = (DOCUMENTS.codec.encode(Written(text=TEXT)),)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    items = [commit_to_item(Commit("document-1", n, events, f"c{n}", at)) for n in range(1, COMMITS + 1)]
    put_all(local_client, store._table, items)
    with patch("eventfold.aggregates.loading.HELD_BYTES", 1_000_000), Meter.on(local_client) as meter:
        assert load(store, DOCUMENTS, "document-1", page_size=PAGE_SIZE).state.parts == COMMITS
    assert meter.requests == ["Query"] * (COMMITS // A_PAGE + 1)  # No more than a page is read twice.
    assert CommandHandler(store, DOCUMENTS).handle("1", Write()).version == COMMITS + 1
    taken = take_snapshot(store, DOCUMENTS, "document-1", 1)
    assert taken is not None
    assert (taken.version, taken.state) == (COMMITS + 1, f'{{"parts":{COMMITS + 1}}}')


# --- Many commits, with snapshots -------------------------------------------------------------------------

# What reads of a long stream give, how many requests they are, and how many read units: 1 is up to 4 KB.
LONG = 10_000
START = datetime(2026, 1, 1, tzinfo=UTC)


def page(after: int, limit: int) -> Callable[[EventStore], object]:
    return lambda store: [
        one.version for one in read_page(store, COUNTER.codec, "counter-1", after=after, limit=limit)[0]
    ]


def version(number: int) -> Callable[[EventStore], object]:
    return lambda store: load_version(store, COUNTER, "counter-1", number).state.total


def moment(seconds: float) -> Callable[[EventStore], object]:
    return lambda store: load_at(store, COUNTER, "counter-1", START + timedelta(seconds=seconds)).state.total


READS: dict[str, tuple[Callable[[EventStore], object], object, int, float]] = {
    "the newest state": (lambda store: load(store, COUNTER, "counter-1").state.total, LONG, 1, 1),
    "the first event": (page(0, 1), [1], 1, 1),
    "one event in the middle": (page(LONG // 2, 1), [LONG // 2 + 1], 1, 1),
    "the last event": (page(LONG - 1, 1), [LONG], 1, 1),
    "a hundred events": (page(LONG // 2, 100), list(range(LONG // 2 + 1, LONG // 2 + 101)), 1, 3),
    "behind the last event": (page(LONG, 1), [], 2, 1),
    "the state at the newest version but one": (version(LONG - 1), LONG - 1, 2, 2),
    "the state at a version in the middle": (version(LONG // 2 + 7), LONG // 2 + 7, 1, 1),
    "the state at the first version": (version(1), 1, 1, 1),
    "the state moments ago": (moment(LONG - 1.5), LONG - 2, 2, 2),
    "the state half-way back": (moment(LONG / 2), LONG // 2, 15, 15),
    "the state of the first day": (moment(1), 1, 15, 15),
    "the state before the first event": (moment(0), 0, 14, 14),
}


def test_what_is_read_of_a_long_stream_does_not_grow_with_it(
    local_client: DynamoDBClient, store: DynamoDBEventStore
) -> None:
    one = (COUNTER.codec.encode(Added(amount=1)),)
    at = [START + timedelta(seconds=n) for n in range(LONG + 1)]
    commits = [commit_to_item(Commit("counter-1", n, one, f"{n:016}", at[n])) for n in range(1, LONG + 1)]
    snapshots = [
        snapshot_to_item(Snapshot("counter-1", n, COUNTER.schema, COUNTER.dump(Counter(total=n)), at[n]))
        for n in range(DEFAULT_INTERVAL, LONG + 1, DEFAULT_INTERVAL)
    ]
    put_all(local_client, store._table, [*commits, *snapshots])
    for name, (read, expected, requests, units) in READS.items():
        with Meter.on(local_client) as meter:
            assert read(store) == expected, name
        assert meter.requests == ["Query"] * requests, name
        assert meter.capacity == units, name
