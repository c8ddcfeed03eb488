"""Every payload for `sam local invoke`, run against its handler."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from app.users import USERS, UserCreated, UserUpdated
from eventfold import Commit, Snapshot
from eventfold.items import commit_to_item, item_to_commit_or_snapshot
from tests.conftest import EVENTS_TABLE
from tests.support import ROOT, template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.functions.application import Application

EVENTS = ROOT / "events"
PAYLOADS = sorted(str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.rglob("*.json"))
REQUESTS = [name for name in PAYLOADS if name.startswith(("commands/", "queries/"))]
BATCHES = [name for name in PAYLOADS if name not in REQUESTS]

ADA = "0b0f6a3e-5d5c-4b53-9d34-6f1f0a4d2c11"
BOB = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def payload(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return parsed


# --- What is there before ---------------------------------------------------------------------------------


def nothing(app: Application) -> None:
    assert app.stored() == []


def ada(app: Application) -> None:
    """Ada, just created."""
    _store(app, "projections/user-created")


def updated(app: Application) -> None:
    """Ada at version 2, of which the directory knows version 1."""
    ada(app)
    app.project()
    _store(app, "projections/user-updated")


def unprojected(app: Application) -> None:
    """Ada at version 3, and Bob, deleted; the directory is empty."""
    _store(app, "projections/batch")


def past(app: Application) -> None:
    """Ada at version 3, and Bob, deleted; the directory knows both."""
    unprojected(app)
    app.project()


def two_adas(app: Application) -> None:
    ada(app)
    app.append("2", UserCreated(name="Adam"))
    app.project()


def fifty_events(app: Application) -> None:
    app.append(ADA, UserCreated(name="Ada Lovelace"), *(UserUpdated(name=f"Ada King {n}") for n in range(2, 50)))
    _store(app, "snapshots/due")


def _store(app: Application, name: str) -> None:
    for record in payload(name)["Records"]:
        app.client.put_item(TableName=EVENTS_TABLE, Item=record["dynamodb"]["NewImage"])


# --- What comes of it -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """What a request is answered, in part, and how many commits it appends."""

    status: int
    before: Callable[[Application], None] = nothing
    body: Mapping[str, Any] = field(default_factory=dict)
    appended: int = 0


@dataclass(frozen=True)
class Done:
    """What a batch does: the records it reports, by their place in it, and what it leaves at which version."""

    versions: Mapping[str, int | None]
    before: Callable[[Application], None] = nothing
    failed: tuple[int, ...] = ()


EXPECTED: dict[str, Answered | Done] = {
    "commands/create-user": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-idempotent": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-jwt": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-without-content-type": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-not-json": Answered(400),
    "commands/create-user-wrong-type": Answered(415),
    "commands/create-user-breaks-a-rule": Answered(422),
    "commands/update-user": Answered(200, ada, {"id": ADA, "version": 2}, 1),
    "commands/update-user-unchanged": Answered(200, ada, {"id": ADA, "version": 1}),
    "commands/update-user-if-match": Answered(200, ada, {"id": ADA, "version": 2}, 1),
    "commands/update-user-idempotent": Answered(200, ada, {"id": ADA, "version": 2}, 1),
    "commands/update-user-outdated": Answered(412, ada),
    "commands/update-user-unknown": Answered(404),
    "commands/update-user-deleted": Answered(410, past),
    "commands/delete-user": Answered(204, ada, appended=1),
    "commands/delete-user-again": Answered(204, past),
    "queries/get-user": Answered(200, past, {"name": "Ada King", "email": "ada.king@example.com", "version": 3}),
    "queries/get-user-deleted": Answered(410, past),
    "queries/get-user-unknown": Answered(404),
    "queries/list-users": Answered(
        200,
        past,
        {"users": [{"id": ADA, "name": "Ada King", "email": "ada.king@example.com", "version": 3}], "cursor": None},
    ),
    "queries/list-users-by-prefix": Answered(
        200,
        two_adas,
        {"users": [{"id": ADA, "name": "Ada Lovelace", "email": "ada@example.com", "version": 1}]},
    ),
    "queries/list-users-next-page": Answered(
        200, two_adas, {"users": [{"id": "2", "name": "Adam", "email": None, "version": 1}], "cursor": None}
    ),
    "queries/list-users-wrong-limit": Answered(400),
    "queries/user-events": Answered(200, past, {"after": None}),
    "queries/user-events-next-page": Answered(200, past, {"after": 2}),
    "queries/user-state": Answered(200, past, {"name": "Ada King", "version": 3, "status": "active"}),
    "queries/user-state-at-version": Answered(200, past, {"name": "Ada Lovelace", "version": 1}),
    "queries/user-state-at-time": Answered(200, past, {"name": "Ada Lovelace", "version": 1}),
    "projections/user-created": Done({ADA: 1}),
    "projections/user-updated": Done({ADA: 2}, updated),
    "projections/user-deleted": Done({BOB: None}, unprojected),
    "projections/batch": Done({ADA: 3, BOB: None}),
    "projections/duplicate": Done({ADA: 1}),
    "projections/out-of-order": Done({ADA: 2}),
    "projections/gap": Done({ADA: 3}, unprojected),
    "projections/unreadable": Done({ADA: 1, BOB: 1}, failed=(1,)),
    "snapshots/due": Done({ADA: 50}, fifty_events),
    "snapshots/duplicate": Done({ADA: 50}, fifty_events),
    "snapshots/unreadable": Done({ADA: 50, BOB: None}, fifty_events, failed=(0,)),
}


def test_every_payload_has_its_expectation() -> None:
    assert set(PAYLOADS) == set(EXPECTED)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered(app: Application, name: str) -> None:
    expected = EXPECTED[name]
    assert isinstance(expected, Answered)
    expected.before(app)
    before = len(app.commits())
    answer = app.call(name.partition("/")[0], payload(name))
    assert answer["statusCode"] == expected.status, answer
    body = json.loads(answer["body"]) if answer.get("body") else {}
    assert {key: body[key] for key in expected.body} == dict(expected.body)
    assert len(app.commits()) == before + expected.appended


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_worked_on(app: Application, name: str) -> None:
    expected = EXPECTED[name]
    assert isinstance(expected, Done)
    expected.before(app)
    function, event = name.partition("/")[0], payload(name)
    numbers = [event["Records"][place]["dynamodb"]["SequenceNumber"] for place in expected.failed]
    answer = app.call(function, event)
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == numbers
    left = snapshots(app) if function == "snapshots" else rows(app)
    assert {id_: left.get(id_) for id_ in expected.versions} == dict(expected.versions)


@pytest.mark.parametrize("name", [name for name in REQUESTS if name.endswith("-idempotent")])
def test_a_payload_with_a_key_can_be_sent_again(app: Application, name: str) -> None:
    expected = EXPECTED[name]
    expected.before(app)
    first, again = (app.call("commands", payload(name)) for _ in range(2))
    assert first["body"] == again["body"]


# --- Whether AWS would send it so -------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_that_api_gateway_sends(name: str) -> None:
    event = payload(name)
    context, headers = event["requestContext"], event["headers"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == context["routeKey"] == f"{context['http']['method']} {_path(event)}"
    assert event["routeKey"] in _routes(name.partition("/")[0])
    assert event["rawPath"] == context["http"]["path"]
    assert dict(parse_qsl(event["rawQueryString"])) == event.get("queryStringParameters", {})
    assert headers == {key.lower(): value for key, value in headers.items()}
    assert "iam" in context["authorizer"] or "jwt" in context["authorizer"]
    body = event.get("body", "")
    # API Gateway hands over as text what is text by its type, and everything else in base64.
    assert event["isBase64Encoded"] == (bool(body) and headers.get("content-type") != "application/json")
    sent = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
    assert int(headers.get("content-length", "0")) == len(sent)


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_one_that_its_stream_mapping_lets_through(name: str) -> None:
    function = name.partition("/")[0]
    mapping = template()["Resources"][f"{function.capitalize()}Mapping"]["Properties"]
    (filter_,) = mapping["FilterCriteria"]["Filters"]
    pattern = json.loads(filter_["Pattern"])
    records = payload(name)["Records"]
    assert 0 < len(records) <= mapping["BatchSize"]
    for record in records:
        assert record["eventName"] in pattern["eventName"]
        image = record["dynamodb"]["NewImage"]
        assert pattern["dynamodb"]["NewImage"].keys() <= image.keys()
        assert record["dynamodb"]["Keys"] == {key: image[key] for key in ("stream", "version")}


@pytest.mark.parametrize("name", [name for name in BATCHES if "unreadable" not in name])
def test_a_record_has_the_stored_format_and_the_domains_events(name: str) -> None:
    for record in payload(name)["Records"]:
        commit = item_to_commit_or_snapshot(record["dynamodb"]["NewImage"])
        assert isinstance(commit, Commit)
        assert commit_to_item(commit) == record["dynamodb"]["NewImage"]
        assert USERS.codec.recorded(commit)


def rows(app: Application) -> dict[str, int | None]:
    """Return the version at which the directory has each user."""
    return {id_: app.request("GET", f"/users/{id_}").body.get("version") for id_ in (ADA, BOB)}


def snapshots(app: Application) -> dict[str, int | None]:
    """Return the version of each user's snapshot."""
    return {item.stream.partition("-")[2]: item.version for item in app.stored() if isinstance(item, Snapshot)}


def _path(event: Mapping[str, Any]) -> str:
    path: str = event["rawPath"]
    for name, value in event.get("pathParameters", {}).items():
        path = path.replace(value, f"{{{name}}}")
    return path


def _routes(function: str) -> set[str]:
    """Return the routes that template.yaml sends to a function."""
    integration = f"{function.capitalize()}Integration"
    routes = [
        one["Properties"] for one in template()["Resources"].values() if one["Type"] == "AWS::ApiGatewayV2::Route"
    ]
    return {route["RouteKey"] for route in routes if re.search(integration, str(route["Target"]))}
