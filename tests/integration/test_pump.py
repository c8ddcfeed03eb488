"""The stream pump: each of Lambda's rules, on the stream of a real table."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventfold.testing.faults import CrashError
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import MAX_PAYLOAD_BYTES, Disorder, InvocationContext, StreamPump
from eventfold.testing.shards import StreamReader, stream_arn

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

    from eventfold.testing.shards import Record

pytestmark = pytest.mark.dynamodb_local


class Stage:
    """A table with a stream, and a function that notes its batches and does as it is told."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self.client = client
        self.table = table
        self.batches: list[list[int]] = []
        self.bad: Callable[[list[int]], object] = lambda _: None

    def put(self, *versions: int, stream: str = "thing-1", **more: Any) -> None:
        for version in versions:
            key: dict[str, Any] = {"stream": {"S": stream}, "version": {"N": str(version)}}
            self.client.put_item(TableName=self.table, Item=key | more)

    def reader(self) -> StreamReader:
        streams: DynamoDBStreamsClient = boto3.client("dynamodbstreams")
        return StreamReader(streams, stream_arn(self.client, self.table))

    def pump(self, mapping: EventSourceMapping, disorder: Disorder | None = None, **more: Any) -> StreamPump:
        return StreamPump(mapping, self.reader(), self.function, disorder=disorder, **more)

    def function(self, event: dict[str, Any], context: object) -> object:
        assert isinstance(context, InvocationContext)
        self.records = event["Records"]
        versions = [version_of(record) for record in self.records]
        self.batches.append(versions)
        return self.bad(versions)

    def report(self, *bad: int) -> Callable[[list[int]], object]:
        """Answer with the sequence numbers of these versions, where they are in the batch."""

        def answer(_: list[int]) -> object:
            numbers = [r["dynamodb"]["SequenceNumber"] for r in self.records if version_of(r) in bad]
            return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}

        return answer


def version_of(record: Record) -> int:
    return int(record["dynamodb"]["Keys"]["version"]["N"])


def failing(*bad: int) -> Callable[[list[int]], object]:
    """Raise where one of these versions is in the batch."""

    def function(versions: list[int]) -> object:
        if set(bad) & set(versions):
            raise ZeroDivisionError
        return None

    return function


@pytest.fixture
def stage(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> Stage:
    return Stage(local_client, local_tables[0])


def given_up(pump: StreamPump) -> list[tuple[str, list[int], int]]:
    return [(one.condition, list(map(version_of, one.records)), one.invocations) for one in pump.given_up]


def test_records_come_once_in_order_in_batches_of_the_size_and_as_lambda_has_them(stage: Stage) -> None:
    stage.put(*range(1, 8))
    pump = stage.pump(EventSourceMapping(batch_size=3))
    pump.drain()
    assert stage.batches == [[1, 2, 3], [4, 5, 6], [7]]
    (record,) = stage.records
    assert record["eventName"] == "INSERT"
    assert record["eventSource"] == "aws:dynamodb"
    assert f"table/{stage.table}/stream" in record["eventSourceARN"]
    assert record["dynamodb"]["NewImage"] == {"stream": {"S": "thing-1"}, "version": {"N": "7"}}
    assert record["dynamodb"]["ApproximateCreationDateTime"] > 1_700_000_000
    stage.put(8)
    pump.drain()
    assert stage.batches[3:] == [[8]]
    assert pump.counts["read"] == pump.counts["delivered"] == 8


def test_a_record_that_no_filter_matches_never_arrives(stage: Stage) -> None:
    stage.put(1, 3, commit={"S": "c"})
    stage.put(2)
    pattern = {"dynamodb": {"NewImage": {"commit": {"S": [{"exists": True}]}}}}
    pump = stage.pump(EventSourceMapping(filters=(pattern,)))
    pump.drain()
    assert stage.batches == [[1, 3]]
    assert pump.counts["filtered out"] == 1


def test_a_batch_is_never_over_lambdas_payload(stage: Stage) -> None:
    stage.put(*range(1, 19), text={"S": "x" * 390_000})
    pump = stage.pump(EventSourceMapping())
    pump.drain()
    assert [len(batch) for batch in stage.batches] == [16, 2]
    assert 16 * 390_000 < MAX_PAYLOAD_BYTES < 17 * 390_000


def test_a_batch_that_fails_comes_again_whole_and_what_is_behind_it_waits(stage: Stage) -> None:
    stage.put(1, 2, 3)
    pump = stage.pump(EventSourceMapping(batch_size=2, maximum_retry_attempts=3))
    stage.bad = lambda versions: failing(2)(versions) if len(stage.batches) < 3 else None
    pump.drain()
    assert stage.batches == [[1, 2], [1, 2], [1, 2], [3]]
    assert pump.given_up == []


def test_retries_end_and_the_records_are_kept_whole(stage: Stage) -> None:
    stage.put(1, 2, 3, text={"S": "all of it"})
    pump = stage.pump(EventSourceMapping(batch_size=2, maximum_retry_attempts=2))
    stage.bad = failing(2)
    pump.drain()
    assert stage.batches == [[1, 2]] * 3 + [[3]]
    assert given_up(pump) == [("RetryAttemptsExhausted", [1, 2], 3)]
    assert pump.given_up[0].records[1]["dynamodb"]["NewImage"]["text"] == {"S": "all of it"}


def test_no_retries_means_one_invocation(stage: Stage) -> None:
    stage.put(1)
    pump = stage.pump(EventSourceMapping(maximum_retry_attempts=0))
    stage.bad = failing(1)
    pump.drain()
    assert given_up(pump) == [("RetryAttemptsExhausted", [1], 1)]


def test_without_a_limit_retries_go_on(stage: Stage) -> None:
    stage.put(1)
    pump = stage.pump(EventSourceMapping())
    stage.bad = failing(1)
    with pytest.raises(RuntimeError, match="1 records are left"):
        pump.drain(limit=50)
    assert len(stage.batches) == 51


def test_bisect_corners_the_bad_record_and_costs_no_retry(stage: Stage) -> None:
    stage.put(*range(1, 9))
    pump = stage.pump(EventSourceMapping(bisect=True, maximum_retry_attempts=1))
    stage.bad = failing(6)
    pump.drain()
    assert stage.batches == [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4], [5, 6, 7, 8], [5, 6], [5], [6], [6], [7, 8]]
    assert [one[1] for one in given_up(pump)] == [[6]]
    assert pump.counts["splits"] == 3


def test_a_reported_record_is_where_the_batch_begins_again(stage: Stage) -> None:
    stage.put(1, 2, 3, 4)
    pump = stage.pump(EventSourceMapping(partial_responses=True))
    stage.bad = lambda versions: stage.report(3)(versions) if len(stage.batches) == 1 else None
    pump.drain()
    assert stage.batches == [[1, 2, 3, 4], [3, 4]]


def test_of_several_reported_records_the_lowest_counts(stage: Stage) -> None:
    stage.put(1, 2, 3, 4)
    pump = stage.pump(EventSourceMapping(partial_responses=True, maximum_retry_attempts=5))

    def answer(_: list[int]) -> object:
        numbers = [r["dynamodb"]["SequenceNumber"] for r in stage.records]
        return {"batchItemFailures": [{"itemIdentifier": n} for n in (numbers[3], numbers[1])]}

    stage.bad = lambda versions: answer(versions) if len(stage.batches) == 1 else None
    pump.drain()
    assert stage.batches == [[1, 2, 3, 4], [2, 3, 4]]


def test_reported_and_bisected_a_bad_record_is_given_up_alone(stage: Stage) -> None:
    stage.put(*range(1, 7))
    pump = stage.pump(EventSourceMapping(partial_responses=True, bisect=True, maximum_retry_attempts=2))
    stage.bad = stage.report(3)
    pump.drain()
    assert [one[:2] for one in given_up(pump)] == [("RetryAttemptsExhausted", [3])]
    assert stage.batches[:3] == [[1, 2, 3, 4, 5, 6], [3, 4, 5, 6], [3, 4]]
    assert stage.batches.count([3]) == 3
    assert [5, 6] in stage.batches


def test_reports_mean_nothing_where_the_mapping_does_not_ask_for_them(stage: Stage) -> None:
    stage.put(1, 2)
    pump = stage.pump(EventSourceMapping(partial_responses=False))
    stage.bad = stage.report(1)
    pump.drain()
    assert stage.batches == [[1, 2]]


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_these_answers_are_a_success(stage: Stage, answer: object) -> None:
    stage.put(1)
    pump = stage.pump(EventSourceMapping(partial_responses=True, maximum_retry_attempts=0))
    stage.bad = lambda _: answer
    pump.drain()
    assert pump.given_up == []


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"wrong": "1"}]},
        {"batchItemFailures": [{"itemIdentifier": "not of this batch"}]},
    ],
)
def test_these_answers_are_a_failure_of_the_whole_batch(stage: Stage, answer: object) -> None:
    stage.put(1, 2)
    pump = stage.pump(EventSourceMapping(partial_responses=True, maximum_retry_attempts=0))
    stage.bad = lambda _: answer
    pump.drain()
    assert [one[1] for one in given_up(pump)] == [[1, 2]]


def test_what_is_too_old_is_given_up_without_an_invocation_the_rest_goes_on(stage: Stage) -> None:
    stage.put(1, 2)
    created = 0.0
    pump = stage.pump(EventSourceMapping(maximum_record_age=60), clock=lambda: created + 61)
    pump.fetch()
    created = max(record["dynamodb"]["ApproximateCreationDateTime"] for record in pump.lanes[0].records)
    pump.drain()
    assert given_up(pump) == [("RecordAgeExceeded", [1, 2], 0)]
    assert stage.batches == []


def test_retries_end_when_the_record_is_too_old(stage: Stage) -> None:
    stage.put(1)
    now = 0.0
    pump = stage.pump(EventSourceMapping(maximum_record_age=60), clock=lambda: now)
    pump.fetch()
    now = pump.lanes[0].records[0]["dynamodb"]["ApproximateCreationDateTime"]

    def fail_and_wait(versions: list[int]) -> object:
        nonlocal now
        now += 25
        return failing(1)(versions)

    stage.bad = fail_and_wait
    pump.drain()
    assert given_up(pump) == [("RecordAgeExceeded", [1], 3)]


def test_a_crash_is_a_failure_of_the_batch(stage: Stage) -> None:
    def crash(_: list[int]) -> object:
        if len(stage.batches) == 1:
            raise CrashError
        return None

    stage.put(1, 2)
    stage.bad = crash
    pump = stage.pump(EventSourceMapping())
    pump.drain()
    assert stage.batches == [[1, 2], [1, 2]]


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
