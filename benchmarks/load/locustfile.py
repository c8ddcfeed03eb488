"""The load as Locust runs it, in an environment of its own: users that send the mix, and a probe of the projection lag.

Every answer becomes a line of JSON in the file that EVENTFOLD_SAMPLES names; `samples.py` reads them.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from itertools import count
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant_throughput, events, task

from benchmarks.load.processor import cpu_seconds

PROBES_A_SECOND = 2
POLL_SECONDS = 0.02
GIVE_UP_SECONDS = 60.0
PROBED_USERS = 10
SEEDED_USERS = 20

_known: list[str] = []
_versions: dict[str, int] = {}
_numbers = count(1)
_output = Path(os.environ["EVENTFOLD_SAMPLES"]).open("w", buffering=1, encoding="utf-8")  # noqa: SIM115 - to the end


def note(**fields: object) -> None:
    """Write one line."""
    _output.write(json.dumps(fields) + "\n")


class Api(FastHttpUser):  # noqa: D101 - what both kinds of users do
    abstract = True
    connection_timeout = 30.0
    network_timeout = 60.0

    def ask(self, route: str, method: str, path: str, expected: tuple[int, ...] = (), **options: Any) -> Any:
        """Send a request and note its answer; `expected` are answers besides 2xx that are no errors."""
        command = options.pop("command", None)
        started = time.time()
        with self.client.request(method, path, name=route, catch_response=True, **options) as answer:
            status = answer.status_code or 0
            word = "ok" if 200 <= status < 300 else "expected" if status in expected else "error"  # noqa: PLR2004
            body = answer.json() if word == "ok" and answer.text else {}
            version = body.get("version")
            minimum = (options.get("params") or {}).get("min_version", 0)
            if word == "ok" and minimum and version < minimum:
                word = "error"
            detail = f"{answer.error or ''} {answer.text or ''}"[:300] if word == "error" else ""
            if word == "error":
                answer.failure(detail)
            else:
                answer.success()
        seconds = time.time() - started
        if command:
            command |= {"version": version, "id": body.get("id") or command["id"]}
        note(kind="answer", route=route, at=started, seconds=seconds, status=status, word=word, detail=detail,
             command=command)  # fmt: skip
        return answer if word == "ok" else None

    def command(self, route: str, id_: str, body: dict[str, str] | None, expected: tuple[int, ...] = ()) -> int:
        """Send a command under a key of its own; return the version it came to, 0 if it did not."""
        key = str(uuid.uuid4())
        method = "PATCH" if body is not None else "DELETE"
        sent = {"key": key, "method": method, "id": id_, "body": body}
        options: dict[str, Any] = {"json": body} if body is not None else {}
        answer = self.ask(
            route, method, f"/users/{id_}", expected, headers={"Idempotency-Key": key}, command=sent, **options
        )
        return int(answer.json()["version"]) if answer is not None and answer.text else 0

    def create(self, route: str = "POST /users") -> str | None:
        """Create a user; return its id."""
        key, number = str(uuid.uuid4()), next(_numbers)
        body = {"name": f"{random.choice('abcdefghij')} {number}", "email": f"{key}@example.com"}
        sent: dict[str, Any] = {"key": key, "method": "POST", "id": None, "body": body}
        answer = self.ask(route, "POST", "/users", headers={"Idempotency-Key": key}, json=body, command=sent)
        return str(answer.json()["id"]) if answer is not None else None


class Mix(Api):
    """Commands and queries one after the other, without a pause. Older users are asked for more often."""

    def on_start(self) -> None:
        """Begin with some users, so that the first update finds one."""
        while len(_known) < SEEDED_USERS:
            self.create_user()

    def someone(self) -> str:
        """Return a user that was there when this was asked."""
        return _known[int(len(_known) * random.random() ** 2)]

    @task(2)
    def create_user(self) -> None:  # noqa: D102
        if id_ := self.create():
            _versions[id_] = 1
            _known.append(id_)

    @task(5)
    def update_user(self) -> None:  # noqa: D102
        id_ = self.someone()
        if version := self.command("PATCH /users/{id}", id_, {"name": f"renamed {next(_numbers)}"}, (409, 410)):
            _versions[id_] = max(version, _versions.get(id_, 0))

    @task(1)
    def delete_user(self) -> None:  # noqa: D102
        if len(_known) <= SEEDED_USERS:
            return
        id_ = _known.pop(random.randrange(len(_known)))
        self.command("DELETE /users/{id}", id_, None, (409,))

    @task(4)
    def get_user(self) -> None:  # noqa: D102
        self.ask("GET /users/{id}", "GET", f"/users/{self.someone()}", (404, 410))

    @task(3)
    def get_user_at_least(self) -> None:  # noqa: D102
        id_ = self.someone()
        wanted = {"min_version": _versions[id_]}
        self.ask("GET /users/{id}?min_version", "GET", f"/users/{id_}", (410,), params=wanted)

    @task(2)
    def find_users(self) -> None:  # noqa: D102
        self.ask("GET /users?prefix", "GET", "/users", params={"prefix": random.choice("abcdefghijr")})

    @task(2)
    def get_events(self) -> None:  # noqa: D102
        self.ask("GET /users/{id}/events", "GET", f"/users/{self.someone()}/events")

    @task(1)
    def get_stats(self) -> None:  # noqa: D102
        self.ask("GET /stats", "GET", "/stats")


class LagProbe(Api):
    """Changes users of its own, each change followed until the read model shows it."""

    fixed_count = 1
    wait_time = constant_throughput(PROBES_A_SECOND)

    def on_start(self) -> None:
        """Create the users to change."""
        self.mine = [id_ for _ in range(PROBED_USERS) if (id_ := self.create("probe: POST"))]
        self.turn = count()
        self.running: list[gevent.Greenlet[Any]] = []

    def on_stop(self) -> None:
        """See the last samples through."""
        gevent.joinall(self.running)

    @task
    def sample(self) -> None:
        """Begin a sample without waiting for the one before."""
        self.running = [one for one in self.running if not one.dead]
        self.running.append(gevent.spawn(self.follow, self.mine[next(self.turn) % len(self.mine)]))

    def follow(self, id_: str) -> None:
        """Change a user, and look until the row has the version that the command answered."""
        version = self.command("probe: PATCH", id_, {"name": f"probed {next(_numbers)}"}, (409,))
        if not version:
            return
        appended = time.time()
        while time.time() < appended + GIVE_UP_SECONDS:
            seen = self.ask("probe: GET", "GET", f"/users/{id_}", (404,))
            if seen is not None and seen.json()["version"] >= version:
                note(kind="lag", at=appended, seconds=time.time() - appended)
                return
            gevent.sleep(POLL_SECONDS)
        note(kind="answer", route="probe: GET", at=appended, seconds=GIVE_UP_SECONDS, status=0, word="error",
             detail=f"{id_} did not come to version {version} within {GIVE_UP_SECONDS} s", command=None)  # fmt: skip


@events.test_start.add_listener
def watch_cpu(**_: Any) -> None:
    """Note every second how much CPU time is used: the emulator is a sibling of this process."""

    def watch() -> None:
        while not _output.closed:
            note(kind="cpu", at=time.time(), **cpu_seconds(os.getppid()))
            gevent.sleep(1)

    gevent.spawn(watch)


@events.quitting.add_listener
def close(**_: Any) -> None:
    """Close the file with the samples."""
    _output.close()
