"""`make demo`: the deployed stack put through its paces over HTTP, every result checked, everything stopped."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.table import Table

from local import stack
from local.toolchain import StepError, console, main_guard, step

if TYPE_CHECKING:
    from collections.abc import Callable

READ_MODEL_SECONDS = 30
INTERVAL = 50
RENAMES = 55
"""Enough to cross the snapshot boundary."""


@dataclass
class Checks:
    """What was expected, and what failed."""

    failed: int = 0
    done: int = 0

    def equal(self, what: str, actual: object, expected: object) -> None:
        """Compare and go on; the end counts."""
        self.done += 1
        if actual != expected:
            self.failed += 1
            console.print(f"[red]✗[/] {what}: expected {expected!r}, got {actual!r}")


def main() -> int:
    """Run the demo on a fresh stack."""
    checks = Checks()
    with (
        tempfile.TemporaryDirectory(prefix="eventfold-demo-", ignore_cleanup_errors=True) as home,
        stack.running(Path(home)) as deployed,
        httpx.Client(base_url=deployed.api_url, timeout=30) as api,
    ):
        _play(api, deployed, checks)
    if checks.failed:
        console.print(f"[red]✗[/] {checks.failed} of {checks.done} checks failed.")
        return 1
    console.print(f"[green]✓[/] All {checks.done} checks passed; everything is stopped. Next: make run")
    return 0


def _play(api: httpx.Client, deployed: stack.Stack, checks: Checks) -> None:
    with step("Creating Ada, Grace and Alan; renaming Grace 55 times; deleting Alan"):
        ada = _create(api, checks, "Ada Lovelace", "ada@example.com")
        grace = _create(api, checks, "Grace", "grace@example.com")
        alan = _create(api, checks, "Alan Turing", None)
        for n in range(1, RENAMES + 1):
            renamed = api.patch(f"/users/{grace}", json={"name": f"Grace Hopper {n}"})
            checks.equal(f"rename {n}", (renamed.status_code, renamed.json()["version"]), (200, n + 1))
        again = api.patch(f"/users/{grace}", json={"name": f"Grace Hopper {RENAMES}"})
        checks.equal("a rename to the same name", again.json(), {"id": grace, "version": RENAMES + 1})
        checks.equal("delete", api.delete(f"/users/{alan}").status_code, 204)
    with step("Waiting for the read models and the snapshot"):
        _until("the directory", lambda: api.get(f"/users/{grace}").json().get("version") == RENAMES + 1)
        _until("Ada in the directory", lambda: api.get(f"/users/{ada}").is_success)
        _until("the deletion", lambda: api.get(f"/users/{alan}").status_code == httpx.codes.GONE)
        _until("the snapshot", lambda: _snapshots(deployed, grace) != [])
    _show_directory(api, checks, ada, grace)
    _show_history(api, checks, alan)
    _show_past(api, checks, grace)
    _until("the statistics", lambda: api.get("/stats").json()["deleted"] == 1)
    stats = api.get("/stats").json()
    checks.equal("the statistics", (stats["created"], stats["deleted"], stats["active"]), (3, 1, 2))
    _table("GET /stats", ["created", "deleted", "active"], [stats])
    snapshots = _snapshots(deployed, grace)
    checks.equal("one snapshot, past the boundary", [version >= INTERVAL for version in snapshots], [True])
    console.print(f"Grace's snapshot covers version {snapshots[0]}.\n")
    _show_unique_emails(api, checks, ada, grace)
    _show_transfers(api, checks)


def _create(api: httpx.Client, checks: Checks, name: str, email: str | None) -> str:
    headers = {"Idempotency-Key": name.replace(" ", "-")}
    created, again = (api.post("/users", json={"name": name, "email": email}, headers=headers) for _ in range(2))
    checks.equal(f"create {name}", (created.status_code, created.headers.get("etag")), (201, '"1"'))
    checks.equal(f"create {name} again", again.json(), created.json())
    id_: str = created.json()["id"]
    return id_


def _show_directory(api: httpx.Client, checks: Checks, ada: str, grace: str) -> None:
    users = api.get("/users").json()["users"]
    checks.equal("the directory, by name, without Alan", [user["id"] for user in users], [ada, grace])
    checks.equal("the prefix gr", [user["id"] for user in api.get("/users?prefix=gr").json()["users"]], [grace])
    _table("GET /users", ["name", "email", "version", "id"], users)


def _show_history(api: httpx.Client, checks: Checks, alan: str) -> None:
    events = api.get(f"/users/{alan}/events").json()["events"]
    checks.equal("Alan's history", [event["type"] for event in events], ["UserCreated", "UserDeleted"])
    _table("GET /users/{alan}/events", ["version", "type", "data", "at", "commit_id"], events)


def _show_past(api: httpx.Client, checks: Checks, grace: str) -> None:
    versions = (1, 10, RENAMES + 1)
    states = [api.get(f"/users/{grace}/state?version={version}").json() for version in versions]
    names = ["Grace", "Grace Hopper 9", f"Grace Hopper {RENAMES}"]
    checks.equal("Grace's past states", [state.get("name") for state in states], names)
    then = api.get(f"/users/{grace}/state", params={"at": states[1]["at"]}).json()
    checks.equal("the state at the time of version 10", then.get("name"), "Grace Hopper 9")
    _table("GET /users/{grace}/state?version=", ["version", "at", "status", "name", "email"], states)


def _show_unique_emails(api: httpx.Client, checks: Checks, ada: str, grace: str) -> None:
    taken = api.patch(f"/users/{grace}", json={"email": "ADA@example.com"})
    told = (taken.status_code, taken.json()["detail"])
    checks.equal("an email that another user has", told, (409, "Another user has this email."))
    found = api.get("/users", params={"email": "Ada@Example.com"}).json()["users"]
    checks.equal("whose email it is", [user["id"] for user in found], [ada])
    console.print(f"PATCH /users/{{grace}} with Ada's email: {told[0]} {told[1]}\n")


def _show_transfers(api: httpx.Client, checks: Checks) -> None:
    with step("Opening two accounts; transferring money between them"):
        ada, grace = (_open(api, checks, owner, number) for owner, number in (("ada", "DE01"), ("grace", "DE02")))
        api.post(f"/accounts/{ada}/deposits", json={"cents": 1000})
        headers = {"Idempotency-Key": "rent"}
        sent = {"to": grace, "cents": 300}
        done = [api.post(f"/accounts/{ada}/transfers", json=sent, headers=headers) for _ in range(2)]
        checks.equal("a transfer, and again", [one.json() for one in done], [{"id": ada, "version": 3}] * 2)
        much = api.post(f"/accounts/{ada}/transfers", json={"to": grace, "cents": 701})
        checks.equal("more than there is", much.status_code, 409)
        twice = api.post("/accounts", json={"owner": "alan", "number": "DE01"})
        checks.equal("a number that another account has", twice.status_code, 409)
        _until("Ada's balance", lambda: _cents(api, ada) == 700)  # noqa: PLR2004 - what is left
        _until("Grace's balance", lambda: _cents(api, grace) == 300)  # noqa: PLR2004 - what came
    accounts = [
        *api.get("/accounts?owner=ada").json()["accounts"],
        *api.get("/accounts?owner=grace").json()["accounts"],
    ]
    checks.equal("the money in all", sum(account["cents"] for account in accounts), 1000)
    _table("GET /accounts?owner=", ["owner", "number", "cents", "version"], accounts)


def _open(api: httpx.Client, checks: Checks, owner: str, number: str) -> str:
    opened = api.post("/accounts", json={"owner": owner, "number": number})
    checks.equal(f"open {owner}'s account", opened.status_code, 201)
    id_: str = opened.json()["id"]
    return id_


def _cents(api: httpx.Client, id_: str) -> int | None:
    cents: int | None = api.get(f"/accounts/{id_}").json().get("cents")
    return cents


def _snapshots(deployed: stack.Stack, id_: str) -> list[int]:
    """Return the versions that snapshots of a user cover."""
    found = deployed.dynamodb.query(
        TableName=deployed.outputs["EventsTableName"],
        KeyConditionExpression="#stream = :stream",
        FilterExpression="attribute_exists(#state)",
        ExpressionAttributeNames={"#stream": "stream", "#state": "state"},
        ExpressionAttributeValues={":stream": {"S": f"user-{id_}"}},
    )
    return [int(float(item["version"]["N"])) for item in found["Items"]]


def _until(what: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READ_MODEL_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise StepError(f"{what} did not come within {READ_MODEL_SECONDS} s. make run shows the functions' logs.")
        time.sleep(0.1)


def _table(title: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    console.print(table)
    console.print()


if __name__ == "__main__":
    main_guard(main)
