"""Whether each key that is made of a stream's name fits DynamoDB, at the limits that names are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventfold import Head
from eventfold.core.commit import MAX_READ_NAME_BYTES, MAX_STREAM_NAME_BYTES
from eventfold.core.errors import InvalidStreamNameError
from eventfold.dynamodb.items import commit_to_item
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.dynamodb.rows import MAX_SORT_BYTES, DynamoDBRowStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.dynamodb.streams import read_batch
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.operations.rebuild.progress import Progress
from eventfold.operations.transfer.exporting import export_events
from eventfold.read_models.projections import Row
from eventfold.read_models.tallies import Checkpoint
from eventfold.read_models.target import MAX_READ_MODEL_NAME_BYTES, GenerationName, check_read_model_name
from eventfold.testing.commits import commit
from tests.support import create_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local

STREAM = "thing-".ljust(MAX_STREAM_NAME_BYTES, "x")
MODEL = "m" * MAX_READ_MODEL_NAME_BYTES
STORED = str(GenerationName(MODEL, 10**9))


def test_every_key_holds_the_longest_names(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    events, table = local_tables
    create_table(local_client, "ParkedTable", f"{events}-parked")
    check_read_model_name(MODEL)
    store = ScannableDynamoDBEventStore(local_client, events)
    store.append(commit(STREAM, 1), after=Head(STREAM, 0))
    row = Row(STREAM, 1, "{}", f"{'n' * (MAX_SORT_BYTES - MAX_STREAM_NAME_BYTES - 1)}\0{STREAM}")
    rows = DynamoDBRowStore(local_client, table)
    rows.put(STORED, row, replaces=0)
    assert rows.listed(STORED, prefix="n", after=None, limit=9) == [row]
    tallies = DynamoDBTallyStore(local_client, table)
    tallies.add(STORED, {"all": {"n": 1}}, {Checkpoint(STREAM, 1): None})
    assert tallies.checkpoints(STORED, [STREAM])
    parked = DynamoDBParkedStore(local_client, f"{events}-parked")
    parked.park(STORED, STREAM, 1, "why")
    assert [one.stream for one in parked.listed(STORED)] == [STREAM]
    controls = DynamoDBRebuildStore(local_client, table)
    controls.save_progress(STORED, "verify", Progress(part=10**6))
    assert controls.read([MODEL])[MODEL].active == 1
    local_client.delete_table(TableName=f"{events}-parked")


def test_a_read_model_s_name_that_no_key_would_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 255 bytes"):
        check_read_model_name("é" * 128)


def test_a_stream_whose_name_is_older_than_the_limit_is_read_and_takes_no_more(
    local_client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    old = "thing-".ljust(MAX_READ_NAME_BYTES, "x")
    store = ScannableDynamoDBEventStore(local_client, local_tables[0])
    there = commit(old, 1)
    item = commit_to_item(there)
    local_client.put_item(TableName=local_tables[0], Item=item)
    assert list(store.newest_first(old)) == list(store.oldest_first(old)) == list(store.items(old)) == [there]
    record = {"dynamodb": {"Keys": {"stream": item["stream"]}, "NewImage": item, "SequenceNumber": "1"}}
    assert read_batch([record]).commits == [there]
    assert read_batch([{"dynamodb": {**record["dynamodb"], "NewImage": {}}}]).nameless == {}
    lines: list[bytes] = []
    export_events(store, lines.append)
    assert len(lines) == 2
    with pytest.raises(InvalidStreamNameError, match="at most 512 bytes"):
        store.append(commit(old, 2), after=there.head)
