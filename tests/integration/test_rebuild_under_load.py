"""A rebuild, promoted and rolled back, while commands, the feed and queries go on: nothing fails, nothing goes back."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from app import main
from app.telemetry import metrics
from app.users.directory import DIRECTORY, USERS_LISTED
from app.users.rules import USERS, CreateUser, UpdateUser
from app.users.stats import stats_between
from eventfold.application.rebuilds import Part, work
from eventfold.operations.rebuild.filling import summed
from eventfold.operations.rebuild.steps import Rebuild, Timing
from eventfold.read_models.live import Generations
from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import StreamPump
from eventfold.testing.shards import StreamReader, stream_arn
from functions.projections import handler
from tests.functions.application import forget
from tests.support import create_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.dynamodb_local

USERS_AT_FIRST = 40
KEEP_SECONDS = 0.2


class Load:
    """Writers, the stream's feed and readers, until they are stopped; what went wrong."""

    def __init__(self, pump: StreamPump) -> None:
        self.pump = pump
        self.stopped = threading.Event()
        self.faults: list[str] = []
        self.commands = 0
        self.queries = 0
        self.steps = 0
        self.seen = {f"u{n}": 1 for n in range(USERS_AT_FIRST)}

    def write(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - a load, not a secret
        while not self.stopped.wait(0.05):  # The feed has one writer here, and has to keep up.
            id_ = f"u{dice.randrange(USERS_AT_FIRST)}"
            main.application.handler(USERS).handle(id_, UpdateUser(name=f"Name {dice.randrange(10**6)}"))
            if dice.random() < 0.1:
                main.application.handler(USERS).handle(f"new{seed}-{self.commands}", CreateUser(name="New"))
            self.commands += 1

    def feed(self) -> None:
        while not self.stopped.is_set():
            self.pump.fetch()
            for lane in list(self.pump.lanes):
                self.pump.step(lane)
                self.steps += 1

    def settle(self) -> None:
        """Wait until every batch has ended that may know of the generations what was before the last switch."""
        self.stopped.wait(2 * KEEP_SECONDS)
        begun = self.steps
        while self.steps < begun + 2:
            assert not self.stopped.wait(0.02), self.faults

    def read(self, mine: list[str]) -> None:
        """Poll users with the version seen last; each is polled by one reader alone."""
        created = 0
        today = datetime.now(UTC).date()
        while not self.stopped.is_set():
            before, created = created, stats_between(today, today).created
            if created < before:
                self.faults.append(f"stats: {created} after {before}")
            for id_ in mine:
                version = USERS_LISTED.get(id_).version
                if version < self.seen[id_]:
                    self.faults.append(f"{id_}: {version} after {self.seen[id_]}")
                self.seen[id_] = version
                self.queries += 1
                self.stopped.wait(0.01)  # Two cores are for the writers and the feed too.


@pytest.fixture
def pump(
    local_client: DynamoDBClient,
    local_tables: tuple[str, str],
    dynamodb_local_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StreamPump]:
    """The real functions on DynamoDB Local, fed by its stream; control items are kept for less long."""
    events, rows = local_tables
    create_table(local_client, "ParkedTable", parked := f"{events}-parked")
    for name, value in (("EVENTS_TABLE", events), ("READ_MODELS_TABLE", rows), ("PARKED_TABLE", parked)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metrics, "namespace", "eventfold")
    forget()
    generations = Generations(
        main.application.control_store, [one.name for one in main.application.targets], keep=KEEP_SECONDS
    )
    monkeypatch.setattr(main.application, "generations", generations)
    streams = boto3.client("dynamodbstreams", endpoint_url=dynamodb_local_url)
    mapping = EventSourceMapping.from_template(Path("template.yaml"), "ProjectionsMapping")
    reader = StreamReader(streams, stream_arn(local_client, events))
    yield StreamPump(mapping, reader, handler.lambda_handler)
    forget()


def rebuilt(name: str) -> Rebuild:
    """Return a rebuild whose pauses suit how long control items are kept here."""
    (target,) = [one for one in main.application.targets if one.name == name]
    timing = Timing(scan=2 * KEEP_SECONDS, verify=4 * KEEP_SECONDS, settle=0)
    events, keys = main.application.scannable_store, main.application.key_listing
    return Rebuild(
        target,
        main.application.runner,
        events,
        keys,
        main.application.parked_store,
        main.application.rebuild_store,
        "me",
        timing,
    )


def build(rebuild: Rebuild, load: Load) -> None:
    """Fill and verify a generation, each part in a thread."""
    generation = rebuild.begin("table", 4)
    for phase in ("fill", "verify"):
        load.stopped.wait(rebuild.pause(generation))
        with ThreadPoolExecutor(2) as pool:
            run = [
                pool.submit(work, main.application, rebuild, Part(generation.number, phase, part), load.stopped.is_set)
                for part in range(4)
            ]
            assert summed([one.result() for one in run]).done
        if phase == "fill":
            generation = rebuild.filled(generation.number)
    rebuild.verified(generation.number)
    rebuild.release()


def switch(rebuild: Rebuild, number: int, load: Load) -> None:
    load.settle()
    rebuild.switch(number)
    assert not load.stopped.wait(0.5), load.faults


def test_no_query_fails_or_goes_back_while_a_rebuild_is_promoted_and_rolled_back(pump: StreamPump) -> None:
    load = Load(pump)
    for id_ in load.seen:
        main.application.handler(USERS).handle(id_, CreateUser(name="First"))
    pump.drain()
    with ThreadPoolExecutor(5) as pool:
        ids = list(load.seen)
        running = [pool.submit(load.write, seed) for seed in range(2)]
        running += [pool.submit(load.feed), pool.submit(load.read, ids[::2]), pool.submit(load.read, ids[1::2])]
        try:
            for name in ("directory", "stats"):
                build(rebuild := rebuilt(name), load)
                for number in (2, 1, 2):
                    switch(rebuild, number, load)
        finally:
            load.stopped.set()
        for one in running:
            one.result()
    assert load.faults == []
    assert (load.commands > 50, load.queries > 50) == (True, True)
    pump.drain()
    assert pump.given_up == []
    assert list(main.application.parked_store.listed()) == []
    rows_equal_their_events()


def rows_equal_their_events() -> None:
    """Both generations of both read models are what the events make."""
    streams = {item.stream for page in main.application.scannable_store.scan(0, 1) for item in page.items}
    for stream in streams:
        commits = main.application.event_store.oldest_first(stream)
        expected = DIRECTORY.advance(None, (one for commit in commits for one in USERS.codec.recorded(commit)))
        for name in ("directory", "directory.2"):
            assert main.application.row_store.get(name, [stream]) == {stream: expected}
    for name in ("stats", "stats.2"):
        assert main.application.tally_store.totals(name, ["total"]) == {"total": {"created": len(streams)}}
