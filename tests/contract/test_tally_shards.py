"""Over how many shards counters are spread is said in the table: who counts wider is seen by who reads, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.controls import DynamoDBControlStore
from eventfold.dynamodb.keys import DynamoDBKeyListing
from eventfold.dynamodb.sweeping import DynamoDBSweeper
from eventfold.dynamodb.tallies import DynamoDBTallyStore, shards_key
from eventfold.read_models.generations import Control
from eventfold.read_models.tallies import Checkpoint
from eventfold.testing import Meter
from tests.conftest import READ_MODELS_TABLE
from tests.contract.test_controls import AT

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def store(client: DynamoDBClient, shards: int) -> DynamoDBTallyStore:
    return DynamoDBTallyStore(client, READ_MODELS_TABLE, shards=shards)


def add(tallies: DynamoDBTallyStore, stream: str, tally: str = "t", replaces: int = 0) -> None:
    before = Checkpoint(stream, replaces) if replaces else None
    tallies.add(tally, {"all": {"a": 1}}, {Checkpoint(stream, replaces + 1): before})


def test_processes_of_several_settings_count_and_read_the_same(moto_client: DynamoDBClient) -> None:
    """As while a deployment replaces one function after the other: each process keeps what it knew before."""
    processes = [store(moto_client, shards) for shards in (8, 1, 40, 3, 200)]
    for n in range(60):
        add(processes[min(n // 12, n % 5)], f"thing-{n}")
        for process in processes:
            assert process.totals("t", ["all"]) == process.totals_active("t", ["all"]) == {"all": {"a": n + 1}}


def test_a_stream_may_be_counted_by_several_settings(moto_client: DynamoDBClient) -> None:
    for version, shards in enumerate((2, 50, 5)):
        add(store(moto_client, shards), "thing-1", replaces=version)
    assert store(moto_client, 1).totals("t", ["all"]) == {"all": {"a": 3}}


def test_nothing_is_counted_before_it_is_said_where(
    moto_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store(moto_client, 1), "thing-1")
    wide, update = store(moto_client, 100), moto_client.update_item

    def unheard(**_: Any) -> None:
        raise StoreUnavailableError("ReadTimeoutError")

    def answer_lost(**said: Any) -> None:
        update(**said)
        unheard()

    for lost in (unheard, answer_lost):
        monkeypatch.setattr(moto_client, "update_item", lost)
        with pytest.raises(StoreUnavailableError):
            add(wide, "thing-2")
        assert wide.checkpoints("t", ["thing-2"]) == {}
        assert store(moto_client, 1).totals("t", ["all"]) == {"all": {"a": 1}}
    monkeypatch.undo()
    add(wide, "thing-2")
    assert store(moto_client, 1).totals("t", ["all"]) == {"all": {"a": 2}}


def test_a_process_says_it_once_and_reads_as_much_as_there_is(moto_client: DynamoDBClient) -> None:
    tallies = store(moto_client, 100)
    with Meter.on(moto_client) as meter:
        for n in range(3):
            add(tallies, f"thing-{n}")
    assert meter.requests == ["UpdateItem", *["TransactWriteItems"] * 3]
    for shards, requests in ((100, 2), (1, 3), (400, 5)):  # One more at first where fewer, or more, were expected.
        reader = store(moto_client, shards)
        with Meter.on(moto_client) as meter:
            reader.totals("t", ["all"])
        assert meter.requests == ["BatchGetItem"] * requests
        with Meter.on(moto_client) as meter:
            reader.totals("t", ["all"])
        assert meter.requests == ["BatchGetItem"] * 2


def test_the_number_of_shards_is_a_generation_s_and_goes_with_it(moto_client: DynamoDBClient) -> None:
    add(store(moto_client, 50), "thing-1")
    controls = DynamoDBControlStore(moto_client, READ_MODELS_TABLE)
    control = controls.write(Control.first("t").begun("table", 1, AT))
    add(store(moto_client, 2), "thing-1", "t.2")
    controls.write(controls.write(control.moved(2, "ready", AT)).promoted(2, AT))
    reader = store(moto_client, 2)
    assert reader.totals_active("t", ["all"]) == {"all": {"a": 1}}
    assert reader._known == {"t": 50, "t.2": 2}
    listing = DynamoDBKeyListing(moto_client, READ_MODELS_TABLE, ["t"])
    assert {key.kind for page in listing.keys(0, 1) for key in page} == {"checkpoint", "counter"}
    assert sum(DynamoDBSweeper(moto_client, READ_MODELS_TABLE).sweep("t")) == 2
    left = {item["key"]["S"] for item in moto_client.scan(TableName=READ_MODELS_TABLE)["Items"]}
    assert left >= {shards_key("t.2"), "t!"}
    assert shards_key("t") not in left
