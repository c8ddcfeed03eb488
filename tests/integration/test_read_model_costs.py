"""What a commit costs each read model, in requests and units, as DynamoDB Local counts them: table, index, checkpoint."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from app.users.rules import USERS, UserCreated, UserDeleted, UserEmailRemoved, UserUpdated
from eventfold import Commit
from eventfold.application import Application, Settings
from eventfold.dynamodb.items import commit_to_item, item_bytes
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.read_models.projections import Projection, RowTarget
from eventfold.read_models.tallies import TOGETHER
from eventfold.read_models.target import Change
from eventfold.testing import Meter
from eventfold.testing.commits import AT
from tests.domain import COUNTER, Added, Closed
from tests.support import create_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local

HISTORY = [
    ("created", UserCreated(name="Ada")),
    ("e-mail changed", UserUpdated(email="ada@example.com")),
    ("renamed", UserUpdated(name="Bea")),
    ("e-mail removed", UserEmailRemoved()),
    ("deleted", UserDeleted()),
]
DIRECTORY = {"created": 1 + 1, "e-mail changed": 1 + 1, "renamed": 1 + 2, "e-mail removed": 1 + 1, "deleted": 1 + 1}
"""Write units: a row, and its entry in the index, which is moved where the name changes."""
STATS = {"created": 2 * 3, "deleted": 2 * 3}
"""Write units: checkpoint, total and month in one transaction. What counts nothing is neither read nor written."""


@pytest.fixture
def app(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> Iterator[Application]:
    events, rows = local_tables
    parked = f"parked-{events}"
    create_table(local_client, "ParkedTable", parked)
    yield Application("app.users", settings=Settings(events_table=events, read_models_table=rows, parked_table=parked))
    local_client.delete_table(TableName=parked)


def committed(app: Application, user: str, version: int, event: Any) -> Commit:
    """Put a commit into the event table, and return it as the stream brings it."""
    commit = Commit(user, version, (USERS.codec.encode(event),), f"commit-{version}", AT)
    app.dynamodb.put_item(TableName=app.settings.events_table, Item=commit_to_item(commit))
    return commit


@contextmanager
def written_together(app: Application) -> Iterator[list[Any]]:
    """Collect the items that transactions write: DynamoDB Local does not say what one costs.

    An item takes twice its units: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transactions.html
    """
    written: list[Any] = []

    def note(params: dict[str, Any], **_: object) -> None:
        written.extend(one["Put"]["Item"] if "Put" in one else one["Update"]["Key"] for one in params["TransactItems"])

    name = "before-parameter-build.dynamodb.TransactWriteItems"
    app.dynamodb.meta.events.register(name, note)
    yield written
    app.dynamodb.meta.events.unregister(name, note)


def test_what_the_users_read_models_cost_a_commit(app: Application) -> None:
    app.feed.project([committed(app, "user-0", 1, HISTORY[0][1])])  # A process's first batch asks for generations.
    for version, (what, event) in enumerate(HISTORY, 1):
        commit = committed(app, "user-1", version, event)
        with Meter.on(app.dynamodb) as meter, written_together(app) as written:
            assert app.feed.project([commit]) == {}
        writes = meter.units["PutItem"] + sum(2 * math.ceil(item_bytes(one) / 1024) for one in written)
        assert writes == DIRECTORY[what] + STATS.get(what, 0), what
        assert sum(meter.units.get(name, 0) for name in ("BatchGetItem", "GetItem", "Query")) <= len(meter.requests) - 1
        counted = ["BatchGetItem", "TransactWriteItems"] if what in STATS else []
        # What was between is looked at, and whether it is parked: it may have been missed.
        looked = ["GetItem", "Query"] if what == "deleted" else []
        assert sorted(meter.requests) == sorted(["BatchGetItem", "PutItem", *counted, *looked]), what


@pytest.mark.parametrize("users", [1, 2, 20, 130])
def test_the_users_of_a_batch_share_what_their_counters_cost(app: Application, users: int) -> None:
    app.feed.project([committed(app, "user-a", 1, UserCreated(name="Ada"))])
    with Meter.on(app.dynamodb) as meter, written_together(app) as written:
        assert app.feed.project([committed(app, f"user-{n}", 1, UserCreated(name="Ada")) for n in range(users)]) == {}
    shards = Counter(app.tally_store.shard(f"user-{n}") for n in range(users))
    transactions = sum(math.ceil(some / TOGETHER) for some in shards.values())
    assert len(written) == users + 2 * transactions, "a checkpoint each; total and month for all of a shard"
    assert meter.requests.count("TransactWriteItems") == transactions
    assert meter.requests.count("BatchGetItem") == math.ceil(users / 100) * 2


def test_a_list_is_not_written_for_an_event_that_changes_nothing_it_shows(
    local_client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    class Shown(BaseModel, frozen=True):
        closed: bool = False

    projection = Projection(
        name="shown",
        category="counter",
        codec=COUNTER.codec,
        row=Shown,
        project=lambda row, one: Shown(closed=isinstance(one.event, Closed)),
        sort_key=lambda stream, _: stream,
    )
    rows = DynamoDBRowStore(local_client, local_tables[1])
    target = RowTarget(projection, rows)
    row, units = None, []
    events: list[Added | Closed] = [Added(amount=1), Added(amount=2), Added(amount=3), Closed()]
    for version, event in enumerate(events, 1):
        commit = Commit("counter-1", version, (COUNTER.codec.encode(event),), f"commit-{version}", AT)
        folded = target.fold(row, COUNTER.codec.recorded(commit))
        assert folded
        with Meter.on(local_client) as meter:
            target.save([Change("counter-1", row, folded)])
        units.append(meter.capacity)
        (row,) = target.read(["counter-1"]).values()
        assert row == folded
        (listed,) = rows.listed("shown", prefix="", after=None, limit=1)
        assert listed == replace(row, version=1 if version < 4 else 4, shown=None)
    assert units == [2, 1, 1, 2]
