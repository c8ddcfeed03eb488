"""What comes of the users' payloads; test_every_payload.py has those of every aggregate."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.users.rules import USERS, UserCreated, UserUpdated
from eventfold import Snapshot
from tests.conftest import EVENTS_TABLE
from tests.functions.payloads import BATCHES, PAYLOADS, REDRIVES, REQUESTS, payload
from tests.support import template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.functions.application import Application

ADA = "0b0f6a3e-5d5c-4b53-9d34-6f1f0a4d2c11"
BOB = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

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


def two_versions(app: Application) -> None:
    """Ada at version 2; the directory is empty."""
    ada(app)
    _store(app, "projections/user-updated")


def parked(app: Application) -> None:
    """Ada at version 3, and Bob, deleted; both are parked by every projection."""
    unprojected(app)
    for projection in ("directory", "stats"):
        for id_ in (ADA, BOB):
            main.application.parked_store.park(projection, USERS.stream(id_), 0, "StoreUnavailableError")


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


@dataclass(frozen=True)
class Redrives:
    """What a redrive answers, and what it leaves parked: projection and id."""

    redriven: int
    left: frozenset[tuple[str, str]] = frozenset()
    before: Callable[[Application], None] = parked


EXPECTED: dict[str, Answered | Done | Redrives] = {
    "commands/create-user": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-idempotent": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-jwt": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-jwt-client": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-jwt-nobody": Answered(400),
    "commands/create-user-iam-user": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-cognito-identity": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-open": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-without-content-type": Answered(201, body={"version": 1}, appended=1),
    "commands/create-user-not-json": Answered(400),
    "commands/create-user-wrong-type": Answered(415),
    "commands/create-user-breaks-a-rule": Answered(422),
    "commands/update-user": Answered(200, ada, {"id": ADA, "version": 2}, 1),
    "commands/update-user-remove-email": Answered(200, ada, {"id": ADA, "version": 2}, 1),
    "commands/update-user-remove-name": Answered(422, ada),
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
    "queries/get-user-min-version": Answered(200, unprojected, {"name": "Ada King", "version": 3}),
    "queries/get-user-min-version-yet-to-come": Answered(409, past),
    "queries/get-stats": Answered(
        200,
        past,
        {"created": 2, "deleted": 1, "active": 1, "days": [{"day": "2026-01-01", "created": 2, "deleted": 1}]},
    ),
    "queries/get-stats-wrong-dates": Answered(400, past),
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
    "projections/unreadable": Done({ADA: 2, BOB: 1}, two_versions),
    "projections/unreadable-nameless": Done({ADA: 1, BOB: 1}, failed=(1,)),
    "redrive/all": Redrives(4),
    "redrive/projection": Redrives(2, frozenset({("stats", ADA), ("stats", BOB)})),
    "redrive/stream": Redrives(2, frozenset({("directory", BOB), ("stats", BOB)})),
    "snapshots/due": Done({ADA: 50}, fifty_events),
    "snapshots/duplicate": Done({ADA: 50}, fifty_events),
    "snapshots/unreadable": Done({ADA: 50, BOB: None}, fifty_events, failed=(0,)),
}


def test_each_has_its_payload() -> None:
    assert set(EXPECTED) <= set(PAYLOADS)


@pytest.mark.parametrize("name", [name for name in REQUESTS if name in EXPECTED])
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


@pytest.mark.parametrize("name", [name for name in BATCHES if name in EXPECTED])
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
    assert app.parked() == []


@pytest.mark.parametrize("name", [name for name in REDRIVES if name in EXPECTED])
def test_a_redrive_releases_what_it_names(app: Application, name: str) -> None:
    expected = EXPECTED[name]
    assert isinstance(expected, Redrives)
    expected.before(app)
    assert app.call("redrive", payload(name)) == {"redriven": expected.redriven, "parked": 0}
    assert {(one.projection, one.stream.partition("-")[2]) for one in app.parked()} == expected.left


def test_the_schedule_redrives_with_a_payload_that_is_here() -> None:
    (event,) = template()["Resources"]["RedriveFunction"]["Properties"]["Events"].values()
    assert json.loads(event["Properties"]["Input"]) == payload("redrive/all")


@pytest.mark.parametrize("name", [name for name in REQUESTS if name.endswith("-idempotent")])
def test_a_payload_with_a_key_can_be_sent_again(app: Application, name: str) -> None:
    expected = EXPECTED[name]
    expected.before(app)
    first, again = (app.call("commands", payload(name)) for _ in range(2))
    assert first["body"] == again["body"]


def rows(app: Application) -> dict[str, int | None]:
    """Return the version at which the directory has each user."""
    return {id_: app.request("GET", f"/users/{id_}").body.get("version") for id_ in (ADA, BOB)}


def snapshots(app: Application) -> dict[str, int | None]:
    """Return the version of each user's snapshot."""
    return {item.stream.partition("-")[2]: item.version for item in app.stored() if isinstance(item, Snapshot)}
