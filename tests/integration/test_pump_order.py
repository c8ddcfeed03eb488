"""The stream pump's lanes and disorder: what Lambda may do to the order of records, and what it may not."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import Disorder, StreamPump
from tests.pumped import Stage, failing, version_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.testing.shards import Record

pytestmark = pytest.mark.dynamodb_local


@pytest.fixture
def stage(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> Stage:
    return Stage(local_client, local_tables[0])


def test_lanes_keep_an_item_in_order_and_part_the_items_of_one_stream(stage: Stage) -> None:
    for text in "abc":
        stage.put(*range(1, 21), text={"S": text})
    pump = stage.pump(EventSourceMapping(parallelization_factor=4, batch_size=5))
    pump.fetch()
    assert len(pump.lanes) == 4
    assert sum(map(len, pump.lanes)) == 60
    for lane in pump.lanes:
        items = {version_of(record) for record in lane.records}
        for version in items:
            texts = [r["dynamodb"]["NewImage"]["text"]["S"] for r in lane.records if version_of(r) == version]
            assert texts == ["a", "b", "c"]
    assert [version_of(record) for lane in pump.lanes for record in lane.records] != list(range(1, 21)) * 3


def test_a_failure_holds_up_its_lane_alone(stage: Stage) -> None:
    stage.put(*range(1, 21))
    pump = stage.pump(EventSourceMapping(parallelization_factor=2, batch_size=1))
    pump.fetch()
    stuck, free = pump.lanes
    bad = version_of(stuck.records[0])
    stage.bad = failing(bad)
    before = len(stuck)
    for _ in range(30):
        pump.step(stuck)
        pump.step(free)
    assert len(stuck) == before
    assert not free


def test_duplicates_come_by_seed_and_nothing_goes_missing(stage: Stage) -> None:
    stage.put(*range(1, 41))

    def run(seed: int) -> list[list[int]]:
        stage.batches = []
        pump = stage.pump(EventSourceMapping(batch_size=4), Disorder(seed, duplicates=0.3))
        pump.drain()
        assert pump.counts["duplicated"] == pump.counts["delivered"] - 40 > 0
        return stage.batches

    first = run(1)
    assert {version for batch in first for version in batch} == set(range(1, 41))
    assert run(1) == first != run(2)


def test_late_records_are_overtaken_by_others_but_not_by_their_own_item(stage: Stage) -> None:
    for text in "abc":
        stage.put(*range(1, 21), text={"S": text})
    seen: list[tuple[int, str]] = []

    def function(event: dict[str, Any], _: object) -> None:
        seen.extend((version_of(r), r["dynamodb"]["NewImage"]["text"]["S"]) for r in event["Records"])

    pump = StreamPump(EventSourceMapping(batch_size=4), stage.reader(), function, disorder=Disorder(3, late=0.3))
    pump.drain()
    assert len(seen) == 60
    assert pump.counts["late"] > 5
    assert [version for version, _ in seen] != list(range(1, 21)) * 3
    for version in range(1, 21):
        assert [text for one, text in seen if one == version] == ["a", "b", "c"]


def test_what_is_delivered_may_be_nothing_more_or_something_else(stage: Stage) -> None:
    stage.put(1, 2, 3)

    def deliver(record: Record) -> list[Record]:
        return {1: [], 2: [record, record], 3: [record]}[version_of(record)]

    pump = stage.pump(EventSourceMapping(), Disorder(deliver=deliver))
    pump.drain()
    assert stage.batches == [[2, 2, 3]]


def test_a_function_can_not_change_what_comes_again(stage: Stage) -> None:
    stage.put(1)
    seen: list[str] = []

    def function(event: dict[str, Any], _: object) -> None:
        seen.append(json.dumps(event["Records"]))
        event["Records"][0].clear()
        if len(seen) < 3:
            raise ZeroDivisionError

    StreamPump(EventSourceMapping(), stage.reader(), function).drain()
    assert len(seen) == 3
    assert Counter(seen).most_common(1)[0][1] == 3
