"""Requests in; stream, read model and snapshot out: on the deployed template."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from app.users.rules import USERS
from eventfold import Snapshot, load
from eventfold.aggregates.history import read_events
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.parked import DynamoDBParkedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from local.stack import Stack

pytestmark = pytest.mark.stack

DEADLINE_SECONDS = 30


def eventually[T](look: Callable[[], T | None], what: str) -> T:
    """Wait for something to be there."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{what} did not come within {DEADLINE_SECONDS} s"
        time.sleep(0.1)
    return found


def store_of(deployed: Stack) -> DynamoDBEventStore:
    return DynamoDBEventStore(deployed.dynamodb, deployed.outputs["EventsTableName"])


def create(api: httpx.Client, name: str) -> str:
    response = api.post("/users", json={"name": name})
    assert response.status_code == 201, response.text
    id_: str = response.json()["id"]
    return id_


def test_a_request_becomes_an_event_a_row_and_an_answer(api: httpx.Client, deployed: Stack) -> None:
    headers = {"X-Correlation-Id": f"test-{uuid.uuid4()}"}
    created = api.post("/users", json={"name": "Ada", "email": "stack@example.com"}, headers=headers)
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    location = created.headers["location"]
    row = eventually(lambda: r if (r := api.get(location)).is_success else None, "the row")
    assert row.json() == {"id": created.json()["id"], "name": "Ada", "email": "stack@example.com", "version": 1}
    assert row.headers["etag"] == '"1"'
    (event,) = read_events(store_of(deployed), USERS.codec, f"user-{created.json()['id']}")
    assert event.meta["correlation_id"] == headers["X-Correlation-Id"]
    logged = eventually(lambda: _log_line(deployed, "projections", headers["X-Correlation-Id"]), "the log line")
    assert logged["message"] == "projected"
    # By the name of its active generation: another test may have rebuilt the directory.
    (directory,) = (commits for name, commits in logged["commits"].items() if name.startswith("directory"))
    assert event.stream in {stream for stream, _, _ in directory}


def test_update_delete_and_their_repeats(api: httpx.Client) -> None:
    id_ = create(api, "Grace")
    assert api.patch(f"/users/{id_}", json={"name": "Grace H."}).json() == {"id": id_, "version": 2}
    assert api.patch(f"/users/{id_}", json={"name": "Grace H."}).json() == {"id": id_, "version": 2}
    assert api.patch(f"/users/{id_}", json={"name": "x"}, headers={"If-Match": '"1"'}).status_code == 412
    assert [api.delete(f"/users/{id_}").status_code for _ in range(2)] == [204, 204]
    assert api.patch(f"/users/{id_}", json={"name": "x"}).status_code == 410
    eventually(lambda: True if api.get(f"/users/{id_}").status_code == 410 else None, "the tombstone")
    events = api.get(f"/users/{id_}/events").json()["events"]
    assert [event["type"] for event in events] == ["UserCreated", "UserUpdated", "UserDeleted"]


def test_the_same_idempotency_key_is_one_user(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = (api.post("/users", json={"name": "Once"}, headers=headers) for _ in range(2))
    assert (second.status_code, second.json()) == (201, first.json())
    assert api.post("/users", json={"name": "Twice"}, headers=headers).status_code == 422


def test_a_stream_past_the_boundary_gets_a_snapshot_and_loads_from_it(api: httpx.Client, deployed: Stack) -> None:
    id_ = create(api, "Alan")
    for n in range(52):
        assert api.patch(f"/users/{id_}", json={"name": f"Alan {n}"}).is_success
    store = store_of(deployed)
    stream = f"user-{id_}"

    def snapshots() -> list[Snapshot] | None:
        return [item for item in store.newest_first(stream) if isinstance(item, Snapshot)] or None

    (snapshot,) = eventually(snapshots, "the snapshot")
    assert 50 <= snapshot.version <= 53
    loaded = load(store, USERS, stream)
    assert (loaded.version, loaded.snapshot_version, loaded.state.name) == (53, snapshot.version, "Alan 51")
    state = api.get(f"/users/{id_}/state", params={"version": 20}).json()
    assert (state["version"], state["name"]) == (20, "Alan 18")
    assert api.patch(f"/users/{id_}", json={"name": "Alan T."}).json()["version"] == 54


def test_16_writers_race_on_one_stream_and_nothing_is_lost_or_doubled(api: httpx.Client, deployed: Stack) -> None:
    id_ = create(api, "Racer")

    def rename(n: int) -> tuple[int, int | None]:
        response = api.patch(f"/users/{id_}", json={"name": f"Racer {n}"})
        assert response.status_code in {200, 409}, response.text
        return n, response.json().get("version") if response.is_success else None

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(rename, range(96)))
    accepted = {version: f"Racer {n}" for n, version in answers if version is not None}
    events = read_events(store_of(deployed), USERS.codec, f"user-{id_}")
    stored = {one.version: one.event.model_dump()["name"] for one in events}
    assert sorted(stored) == list(range(1, len(stored) + 1))
    assert stored == {1: "Racer", **accepted}
    assert len(accepted) == sum(version is not None for _, version in answers)
    row = eventually(
        lambda: r if (r := api.get(f"/users/{id_}").json()).get("version") == len(stored) else None, "the last row"
    )
    assert row["name"] == stored[len(stored)]


def test_what_was_just_written_can_be_read_at_once(api: httpx.Client) -> None:
    for n in range(5):
        id_ = create(api, f"Fresh {n}")
        assert api.get(f"/users/{id_}", params={"min_version": 1}).json()["name"] == f"Fresh {n}"
        api.patch(f"/users/{id_}", json={"name": f"Fresher {n}"})
        assert api.get(f"/users/{id_}", params={"min_version": 2}).json()["name"] == f"Fresher {n}"
        assert api.get(f"/users/{id_}", params={"min_version": 3}).status_code == 409
        api.delete(f"/users/{id_}")
        assert api.get(f"/users/{id_}", params={"min_version": 3}).status_code == 410


def test_users_are_counted_exactly(api: httpx.Client, deployed: Stack) -> None:
    def recount() -> tuple[int, int]:
        pages = deployed.dynamodb.get_paginator("scan").paginate(TableName=deployed.outputs["EventsTableName"])
        types = [
            event["type"]
            for page in pages
            for item in page["Items"]
            if "events" in item
            for event in json.loads(item["events"]["S"])
        ]
        return types.count("UserCreated"), types.count("UserDeleted")

    ids = [create(api, f"Counted {n}") for n in range(10)]
    for id_ in ids[:4]:
        api.delete(f"/users/{id_}")
    created, deleted = recount()

    def counted() -> dict[str, object] | None:
        stats: dict[str, object] = api.get("/stats").json()
        return stats if (stats["created"], stats["deleted"]) == (created, deleted) else None

    stats = eventually(counted, "the right count")
    assert stats["active"] == created - deleted
    assert stats["days"]


def test_a_parked_stream_goes_on_after_a_redrive(api: httpx.Client, deployed: Stack) -> None:
    id_ = create(api, "Parked")
    eventually(lambda: True if api.get(f"/users/{id_}").is_success else None, "the row")
    stream = f"user-{id_}"
    DynamoDBParkedStore(deployed.dynamodb, deployed.outputs["ParkedTableName"]).park("directory", stream, 1, "test")
    answer = deployed.functions.invoke(FunctionName=deployed.function_name("RedriveFunction"), Payload=b"{}")
    assert json.loads(answer["Payload"].read()) == {"redriven": 1, "parked": 0}
    parked = DynamoDBParkedStore(deployed.dynamodb, deployed.outputs["ParkedTableName"])
    assert list(parked.listed()) == []


def test_the_directory_pages_by_prefix(api: httpx.Client) -> None:
    mark = uuid.uuid4().hex[:8]
    names = [f"{mark}-{letter}" for letter in "cAbED"]
    for name in names:
        create(api, name)
    eventually(
        lambda: True if len(api.get("/users", params={"prefix": mark}).json()["users"]) == 5 else None, "the list"
    )
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"prefix": mark.upper(), "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = api.get("/users", params=query).json()
        found += [user["name"] for user in page["users"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == sorted(names, key=str.lower)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/users", b"{nope", 400),
        ("POST", "/users", b'{"name": ""}', 422),
        ("POST", "/users", b'{"name": "x", "extra": 1}', 422),
        ("POST", "/users", b"[" * 10_000, 400),
        ("POST", "/users", b'{"name": "' + b"x" * 200_000 + b'"}', 413),
        ("PATCH", "/users/nobody", b'{"name": "x"}', 404),
        ("GET", "/users/nobody", None, 404),
        ("GET", "/users?limit=100000", None, 400),
        ("GET", "/users?cursor=tampered", None, 400),
        ("GET", "/users/nobody/state", None, 404),
    ],
)
def test_a_bad_request_is_a_clear_4xx(
    api: httpx.Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    response = api.request(method, path, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["status"] == status
    assert "Traceback" not in response.text


def _log_line(deployed: Stack, service: str, mark: str) -> dict[str, Any] | None:
    """Return the JSON log line of a function that has the mark in it."""
    group = deployed.log_group(f"{service.capitalize()}Function")
    pages = deployed.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    for event in (event for page in pages for event in page["events"]):
        if mark in event["message"]:
            line: dict[str, Any] = json.loads(event["message"])
            return line
    return None
