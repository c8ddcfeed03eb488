"""A stream of large commits without a snapshot, on DynamoDB's own pages: it loads, takes a command and a snapshot."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from pydantic import BaseModel

from eventfold import Command, CommandHandler, Commit, Decider, Event, load, take_snapshot
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.items import commit_to_item
from eventfold.testing import Meter
from tests.support import put_all

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local

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


def test_a_stream_of_large_commits(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    store = DynamoDBEventStore(local_client, local_tables[0])
    events = (DOCUMENTS.codec.encode(Written(text=TEXT)),)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    items = [commit_to_item(Commit("document-1", n, events, f"c{n}", at)) for n in range(1, COMMITS + 1)]
    put_all(local_client, local_tables[0], items)
    with patch("eventfold.aggregates.loading.HELD_BYTES", 1_000_000), Meter.on(local_client) as meter:
        assert load(store, DOCUMENTS, "document-1", page_size=PAGE_SIZE).state.parts == COMMITS
    assert meter.requests == ["Query"] * (COMMITS // A_PAGE + 1)  # No more than a page is read twice.
    assert CommandHandler(store, DOCUMENTS).handle("1", Write()).version == COMMITS + 1
    taken = take_snapshot(store, DOCUMENTS, "document-1", 1)
    assert taken is not None
    assert (taken.version, taken.state) == (COMMITS + 1, f'{{"parts":{COMMITS + 1}}}')
