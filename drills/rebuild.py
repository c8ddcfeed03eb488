"""`make rebuild-drill`: a read model rebuilt on the deployed stack while commands and queries go on, every row checked.

Loads the events, lets the stream build the first generation, then runs the real `eventfold projection rebuild` and
`rollback` beside writers and readers. A reader never accepts an older version than it has seen, or an error.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from app.users.directory import DIRECTORY
from app.users.rules import USERS, UserCreated, UserEvent, UserUpdated
from eventfold import Commit
from eventfold.dynamodb.items import commit_to_item
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.operations.scanning import by_stream
from local import stack
from local.toolchain import ROOT, StepError, console, environment, main_guard, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.read_models.projections import Row

EVENTS_A_USER = 10
CAUGHT_UP_SECONDS = 40


@dataclass
class Traffic:
    """Live commands and queries, until they are told to stop; what they saw."""

    api_url: str
    users: list[str]
    commands: int = 0
    queries: int = 0
    faults: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    seen: dict[str, int] = field(default_factory=dict)

    def write(self, seed: int) -> None:
        """Rename users, one after the other."""
        dice = random.Random(seed)  # noqa: S311 - a load, not a secret
        with httpx.Client(base_url=self.api_url, timeout=60) as api:
            while not self.stopped.is_set():
                name = f"Name {dice.randrange(10**9)}"
                answer = api.patch(f"/users/{dice.choice(self.users)}", json={"name": name})
                if not answer.is_success:
                    self.faults.append(f"PATCH: {answer.status_code} {answer.text[:200]}")
                self.commands += 1

    def read(self, mine: list[str]) -> None:
        """Poll users, each by one reader, with the version seen last."""
        with httpx.Client(base_url=self.api_url, timeout=60) as api:
            while not self.stopped.is_set():
                for id_ in random.sample(mine, 50):
                    answer = api.get(f"/users/{id_}")
                    self.queries += 1
                    version = answer.json().get("version", 0) if answer.is_success else -1
                    if version < self.seen.get(id_, 1):
                        self.faults.append(f"GET {id_}: {answer.status_code}, {version} after {self.seen.get(id_)}")
                    self.seen[id_] = max(version, self.seen.get(id_, 1))


def main() -> int:
    """Run the drill on a fresh stack."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="eventfold-drill-", ignore_cleanup_errors=True) as home,
        stack.running(Path(home)) as deployed,
    ):
        (Path(home) / ".local").mkdir()
        (Path(home) / ".local/api-url").write_text(deployed.api_url + "\n")
        return _drill(deployed, Path(home), options.events, options.workers)


def _drill(deployed: stack.Stack, home: Path, events: int, workers: int) -> int:
    users = [f"{n:08}" for n in range(events // EVENTS_A_USER)]
    with step(f"Loading {events:,} events of {len(users):,} users"):
        _load(deployed, users)
    with step("Waiting until the stream has built the first generation"):
        _caught_up(deployed, len(users))
    traffic = Traffic(deployed.api_url, users)
    with ThreadPoolExecutor(4) as pool:
        load = [pool.submit(traffic.write, seed) for seed in range(2)]
        load += [pool.submit(traffic.read, users[n::2]) for n in range(2)]
        try:
            rebuilt = _cli(home, "projection", "rebuild", "directory", "--workers", str(workers), "--json")
            time.sleep(5)
            back = _cli(home, "projection", "rollback", "directory", "--json")
            time.sleep(5)
        finally:
            traffic.stopped.set()
        for one in load:
            one.result()
    console.print(f"Stopped the load: {traffic.commands:,} commands, {traffic.queries:,} queries.")
    with step("Checking every row of both generations"):
        wrong = _wrong_rows(deployed, ["directory", "directory.2"])
    return _report(traffic, rebuilt, back, wrong)


def _report(traffic: Traffic, rebuilt: Ran, back: Ran, wrong: list[str]) -> int:
    streams, events = rebuilt.answer["streams"], rebuilt.answer["events"]
    console.print(
        f"Rebuilt and verified {streams:,} rows from {events:,} events in {rebuilt.seconds:.0f} s, pauses included "
        f"({events / rebuilt.seconds:,.0f} events a second, read twice); largest process {rebuilt.peak_mb:.0f} MB; "
        f"{rebuilt.answer['redriven']:,} rows brought on at the verification. Rolled back in {back.seconds:.0f} s."
    )
    console.print(f"Meanwhile {traffic.commands:,} commands and {traffic.queries:,} queries.")
    for fault in [*traffic.faults, *wrong][:20]:
        console.print(f"[red]✗[/] {fault}", markup=True)
    if traffic.faults or wrong:
        return 1
    console.print("[green]✓[/] Promoted and rolled back; no request failed, none went back; every row is right.")
    return 0


@dataclass(frozen=True)
class Ran:
    """What a command answered, how long it took, and the largest of its processes."""

    answer: dict[str, Any]
    seconds: float
    peak_mb: float


def _cli(home: Path, *arguments: str) -> Ran:
    started = time.monotonic()
    env = environment() | {"AWS_EC2_METADATA_DISABLED": "true", "EVENTFOLD_APP": "app.main:application"}
    program: list[str | Path] = [ROOT / ".venv/bin/eventfold", *arguments]
    peak = 0
    with subprocess.Popen(program, cwd=home, env=env, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, *map(_peak_kb, _tree(process.pid)))
            time.sleep(0.2)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise StepError(f"eventfold {' '.join(arguments)} ended with code {process.returncode}: {printed}")
    return Ran(json.loads(printed), time.monotonic() - started, peak / 1024)


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all that it started. A child's own figures (`ru_maxrss`) would count its parent's memory."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return  # It has ended, or this is no Linux.
    for child in children:
        yield from _tree(int(child))


def _peak_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0  # It has ended, or this is no Linux.
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _load(deployed: stack.Stack, users: list[str]) -> None:
    table = deployed.outputs["EventsTableName"]

    def write(items: tuple[Any, ...]) -> None:
        wanted: Any = {table: [{"PutRequest": {"Item": item}} for item in items]}
        while wanted:
            wanted = deployed.dynamodb.batch_write_item(RequestItems=wanted).get("UnprocessedItems", {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, batched((item for id_ in users for item in _items(id_)), 25, strict=False)))


def _items(id_: str) -> Iterator[Any]:
    half = EVENTS_A_USER // 2
    events: list[UserEvent] = [
        UserCreated(name=f"User {id_}"),
        *(UserUpdated(name=f"{n} {id_}") for n in range(EVENTS_A_USER - 1)),
    ]
    stored = tuple(USERS.codec.encode(event) for event in events)
    for version, some in ((1, stored[:half]), (half + 1, stored[half:])):
        yield commit_to_item(Commit(USERS.stream(id_), version, some, f"load-{version}", datetime.now(UTC)))


def _caught_up(deployed: stack.Stack, users: int) -> None:
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while httpx.get(f"{deployed.api_url}/stats", timeout=60).json()["created"] < users:
        if time.monotonic() > deadline:
            raise StepError(f"The stream has not caught up within {CAUGHT_UP_SECONDS} s.")
        time.sleep(1)


def _wrong_rows(deployed: stack.Stack, names: list[str]) -> list[str]:
    """Return what is not as the events make it, once the stream has caught up."""
    store = ScannableDynamoDBEventStore(deployed.dynamodb, deployed.outputs["EventsTableName"])
    rows = DynamoDBRowStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    expected: dict[str, Row | None] = {}
    for stream, items in by_stream(store.scan(0, 1)):
        commits = sorted((item for item in items if isinstance(item, Commit)), key=lambda commit: commit.version)
        expected[stream] = DIRECTORY.advance(None, (one for commit in commits for one in USERS.codec.recorded(commit)))
    wrong: list[str] = []
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    while True:
        for name in names:
            for some in batched(expected, 100, strict=False):
                found = rows.get(name, some)
                wrong += [
                    f"{name} {stream} is {found.get(stream)}, not {expected[stream]}"
                    for stream in some
                    if found.get(stream) != expected[stream]
                ]
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(2)
        wrong.clear()


if __name__ == "__main__":
    main_guard(main)
