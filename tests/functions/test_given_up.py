"""What Lambda gave up on: batches in the failures bucket, redriven by the schedule and by the operator's verb."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from app.users.rules import UserCreated, UserUpdated
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.given_up import FailuresBucket
from tests.conftest import FAILURES_BUCKET
from tests.support import stream_event, template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold import Commit
    from tests.functions.application import Application

KEY = "aws/lambda/7a9d5f0e/shardId-1/2026/01/01/2026-01-01T00.00.00-{}"


def put(name: str, body: str | bytes) -> str:
    """Put an object into the bucket; return its key."""
    key = KEY.format(name)
    boto3.client("s3").put_object(Bucket=FAILURES_BUCKET, Key=key, Body=body)
    return key


def give_up(name: str, event: dict[str, Any], *, as_text: bool = True) -> str:
    """Write what Lambda writes of a batch that it gives up."""
    record = {
        "requestContext": {"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 11},
        "version": "1.0",
        "DDBStreamBatchInfo": {"shardId": "shardId-1", "batchSize": len(event["Records"])},
        "payload": json.dumps(event) if as_text else event,
    }
    return put(name, json.dumps(record))


def left() -> list[str]:
    """Return the keys of what lies in the bucket."""
    return list(FailuresBucket(FAILURES_BUCKET).names())


@pytest.fixture(autouse=True)
def time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an invocation have time for all batches."""
    monkeypatch.setattr("functions.redrive.handler.LEFT_MILLISECONDS", 0)


@pytest.fixture
def commits(app: Application) -> Sequence[Commit]:
    """Three commits of two users that no read model has seen."""
    return [
        *app.append("1", UserCreated(name="Ada"), UserUpdated(name="Grace")),
        *app.append("2", UserCreated(name="B")),
    ]


@pytest.mark.parametrize("as_text", [True, False])
def test_the_schedule_projects_what_lambda_gave_up_on(
    app: Application,
    commits: Sequence[Commit],
    as_text: bool,  # noqa: FBT001 - one of two
) -> None:
    give_up("a", stream_event(commits[:1]), as_text=as_text)
    give_up("b", stream_event(commits[2:]), as_text=as_text)
    assert app.request("GET", "/users/1").status == 404
    app.redrive()
    assert [app.request("GET", f"/users/{id_}").body["name"] for id_ in "12"] == ["Grace", "B"]
    assert app.stats()["created"] == 2
    assert left() == []
    assert app.metric("GivenUpBatches") == [0]


def test_a_batch_is_kept_until_its_streams_are_up_to_date_or_parked(
    app: Application, commits: Sequence[Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up("a", stream_event(commits))
    with monkeypatch.context() as outage:
        outage.setattr("eventfold.dynamodb.rows.DynamoDBRowStore.get", unavailable)
        outage.setattr("eventfold.dynamodb.tallies.DynamoDBTallyStore.checkpoints", unavailable)
        with monkeypatch.context() as everywhere:
            everywhere.setattr("eventfold.dynamodb.parked.DynamoDBParkedStore.park", unavailable)
            app.redrive()
            assert len(left()) == 1
            assert app.metric("GivenUpBatches") == [1]
        with pytest.raises(StoreUnavailableError):  # What was parked is tried at once.
            app.redrive()
    assert left() == []
    assert {one.stream for one in app.parked()} == {"user-1", "user-2"}
    app.redrive()
    assert app.request("GET", "/users/1").body["version"] == 2


def unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailableError("InternalServerError")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "it is no batch of stream records"),
        ('{"requestContext": {}}', "it is no batch of stream records"),
        ('{"payload": "{\\"Records\\": 7}"}', "it is no batch of stream records"),
        (
            '{"payload": {"Records": [{"dynamodb": {"Keys": {"stream": {"S": ""}}}}, {}]}}',
            "2 of 2 records name no stream",
        ),
        (b"\xff\xfe", "it is no batch of stream records"),
    ],
)
def test_what_makes_no_sense_stays_and_is_told_and_the_others_go_on(
    app: Application, commits: Sequence[Commit], body: str | bytes, reason: str
) -> None:
    odd = put("a", body)
    give_up("b", stream_event(commits))
    app.redrive()
    assert left() == [odd]
    (line,) = app.lines("unreadable batch")
    assert (line["batch"], line["reason"]) == (odd, reason)
    assert app.metric("GivenUpBatches") == [1]
    assert app.request("GET", "/users/2").status == 200


def test_a_record_without_a_stream_does_not_keep_the_others_of_its_batch_back(
    app: Application, commits: Sequence[Commit]
) -> None:
    event = stream_event(commits)
    del event["Records"][0]["dynamodb"]["Keys"], event["Records"][0]["dynamodb"]["NewImage"]
    give_up("a", event)
    app.redrive()
    assert app.request("GET", "/users/1").body["version"] == 2
    assert len(left()) == 1


def test_two_redrives_at_once_lose_nothing(
    app: Application, commits: Sequence[Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up("a", stream_event(commits))
    names = FailuresBucket.names

    def listed_then_gone(bucket: FailuresBucket) -> list[str]:
        found = list(names(bucket))
        monkeypatch.setattr(FailuresBucket, "names", names)
        app.redrive()
        return found

    monkeypatch.setattr(FailuresBucket, "names", listed_then_gone)
    app.redrive()
    assert left() == []
    assert app.stats()["created"] == 2


def test_a_bucket_out_of_reach_does_not_keep_what_is_parked(
    app: Application, commits: Sequence[Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as bug:
        bug.setattr("eventfold.read_models.projections.RowTarget.fold", unavailable)
        app.project(commits)
    assert app.parked("directory")
    boto3.client("s3").delete_bucket(Bucket=FAILURES_BUCKET)
    with pytest.raises(Exception, match="NoSuchBucket"):
        app.redrive()
    assert app.parked() == []


def test_an_invocation_without_time_does_one_batch_and_the_next_one_goes_on(
    app: Application, commits: Sequence[Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.redrive.handler.LEFT_MILLISECONDS", 10**9)
    for name in "abc":
        give_up(name, stream_event(commits))
    for keys in (2, 1, 0):
        app.redrive()
        assert len(left()) == keys


def test_a_bucket_that_does_not_answer_leaves_an_invocation_its_time(app: Application) -> None:
    config: Any = FailuresBucket(FAILURES_BUCKET)._s3.meta.config
    each = config.connect_timeout + config.read_timeout
    seconds = template()["Resources"]["RedriveFunction"]["Properties"]["Timeout"]
    assert config.retries["total_max_attempts"] * each < seconds / 4


def test_a_redrive_of_one_projection_leaves_the_bucket_alone(app: Application, commits: Sequence[Commit]) -> None:
    give_up("a", stream_event(commits))
    app.redrive(projection="directory")
    assert len(left()) == 1
