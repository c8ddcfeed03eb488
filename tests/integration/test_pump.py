"""The stream pump: each of Lambda's rules, on the stream of a real table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventfold.testing.faults import CrashError
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import MAX_PAYLOAD_BYTES
from tests.pumped import Stage, failing, given_up

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


pytestmark = pytest.mark.dynamodb_local


@pytest.fixture
def stage(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> Stage:
    return Stage(local_client, local_tables[0])


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
