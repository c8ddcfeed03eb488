"""`make chaos`: thousands of commands under every fault there is, then every promise checked.

Writers, functions and the operator are threads that take turns by seed, so a seed that fails does so again.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import uuid
from collections import Counter
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from app import settings
from app.users.directory import DIRECTORY
from app.users.rules import USERS
from app.users.stats import STATS, TOTAL
from drills.chaos.functions import TEMPLATE, Functions
from drills.chaos.writers import SNAPSHOT_EVERY, World, Writer
from eventfold.dynamodb import create_client
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.testing.checker import (
    Finding,
    Word,
    Wrong,
    check_rows,
    check_snapshots,
    check_streams,
    check_tally,
    commits_by_stream,
    read_table,
    recount,
)
from eventfold.testing.faults import pauses
from eventfold.testing.mapping import resource_properties
from eventfold.testing.turns import Turns
from local import dynamodb_local

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

REDRIVES = 100
"""Redrives in a row after which what is still parked is a fault."""


class Run:
    """One run: tables of its own on a DynamoDB Local."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        suffix = uuid.uuid4().hex[:8]
        self.tables = settings.Settings(
            events_table=f"events-{suffix}",
            read_models_table=f"read-models-{suffix}",
            parked_table=f"parked-{suffix}",
            snapshot_every=SNAPSHOT_EVERY,
            projection_writers=1,  # A seed is the same run each time.
            aws_endpoint_url=url,
        )
        # A client without faults, for the checks.
        self.client = create_client(url, read_timeout=20)
        _create_tables(self.client, self.tables)
        random.seed(options.seed)  # what the library and botocore draw their jitter from
        turns = Turns(options.seed)
        users = [str(number) for number in range(options.users)]
        self.turns = turns
        self.world = World(turns, url, self.tables.events_table, users)
        shares = [len(range(number, options.commands, options.writers)) for number in range(options.writers)]
        self.writers = [Writer(self.world, number, options.seed, share) for number, share in enumerate(shares)]
        self.functions = Functions(turns, url, self.tables, options.seed)
        self.commands: int = options.commands
        self.retries = 0
        self._writing: int = options.writers

    def go(self) -> list[Finding]:
        """Write, project, redrive, check; return what is wrong."""
        with pauses(self._pause):
            with self.functions.faults:
                self.turns.run(self._workers(), seconds=24 * 3600)
                self.functions.pump.drain()
                self.functions.snapshots.drain()
                findings = self._forgotten()
                self.functions.fixed = True
                self._redrive()
            self.functions.replay()
            self.functions.redrive()
        return findings + self._check()

    def report(self) -> str:
        """Return the run in figures."""
        faults: Counter[str] = Counter()
        for injector in (*(writer.faults for writer in self.writers), self.functions.faults):
            faults.update({str(fault): times for fault, times in injector.counts.items()})
        words = Counter(str(attempt.word) for attempt in self.world.ledger.attempts)
        more: dict[str, int | str] = {
            "appends": f"{words.total()} ({', '.join(f'{words[word]} {word}' for word in Word)})",
            "retries of botocore": self.retries,
            "streams parked": len(self.functions.parked),
            "records given up": sum(len(one.records) for one in self.functions.pump.given_up),
        }
        sections: dict[str, Mapping[str, int | str]] = {
            "writers": dict(self.world.counts),
            "faults": dict(faults),
            "projections": dict(self.functions.counts),
            "pump": dict(self.functions.pump.counts),
            "snapshots": dict(self.functions.snapshots.counts),
            "in all": more,
        }
        lines = []
        for title, figures in sections.items():
            lines.append(title)
            lines += [f"  {name:<28} {figures[name]}" for name in sorted(figures)]
        return "\n".join(lines)

    def _workers(self) -> dict[str, Callable[[], None]]:
        functions, take = self.functions, self.turns.take
        workers = {f"writer {number}": partial(self._write, writer) for number, writer in enumerate(self.writers)}
        for name, pump in (("projections", functions.pump), ("snapshots", functions.snapshots)):
            workers[f"{name}, reader"] = partial(pump.read_on, pause=take, is_over=self._is_over)
            for number in range(pump.mapping.parallelization_factor):
                workers[f"{name}, lane {number}"] = partial(pump.work_on, number, pause=take)
        return {**workers, "operator": partial(functions.operator, is_over=self._is_over)}

    def _write(self, writer: Writer) -> None:
        try:
            writer()
        finally:
            self._writing -= 1

    def _is_over(self) -> bool:
        return self._writing == 0

    def _pause(self, seconds: float) -> None:
        self.retries += 1
        self.turns.take(seconds)

    def _redrive(self) -> None:
        for _ in range(REDRIVES):
            if not self._parked():
                return
            self.functions.redrive()

    def _parked(self) -> set[tuple[str, str]]:
        listed = DynamoDBParkedStore(self.client, self.tables.parked_table).listed()
        return {(one.projection, one.stream) for one in listed}

    def _forgotten(self) -> list[Finding]:
        """Return the streams that are behind with nobody to wake them up: neither parked nor out of the stream."""
        unseen, parked = self.functions.unseen(), self._parked()
        findings: list[Finding] = []
        streams = commits_by_stream(read_table(self.client, self.tables.events_table))
        rows = DynamoDBRowStore(self.client, self.tables.read_models_table).get(DIRECTORY.name, list(streams))
        tallies = DynamoDBTallyStore(self.client, self.tables.read_models_table)
        checkpoints = tallies.checkpoints(STATS.name, list(streams))
        for name, marks in ((DIRECTORY.name, rows), (STATS.name, checkpoints)):
            for stream, commits in streams.items():
                seen = marks[stream].version if stream in marks else 0
                behind = [
                    one.version for one in commits if one.version > seen and (stream, str(one.version)) not in unseen
                ]
                if behind and (name, stream) not in parked:
                    detail = f"{name} stands at {seen}, is not parked, and {behind[0]} waits for nobody"
                    findings.append(Finding(stream, Wrong.DIFFERING, detail))
        return findings

    def _check(self) -> list[Finding]:
        items = list(read_table(self.client, self.tables.events_table))
        streams = commits_by_stream(items)
        table = self.tables.read_models_table
        rows = DynamoDBRowStore(self.client, table).get(DIRECTORY.name, list(streams))
        counted = DynamoDBTallyStore(self.client, table).totals(STATS.name, sorted({TOTAL, *recount(STATS, items)}))
        ends = {(commit.id, commit.last_version) for commits in streams.values() for commit in commits}
        if (sent := self.world.counts["commands"]) != self.commands:
            raise RuntimeError(f"{sent} of {self.commands} commands were sent: a run that did less proves nothing")
        return [
            *self.world.broken,
            *check_streams(self.world.ledger.attempts, items),
            *(
                Finding(key, Wrong.LOST, f"answered with version {version}")
                for key, version in self.world.answers.items()
                if (key, version) not in ends
            ),
            *check_rows(DIRECTORY, items, rows),
            *check_tally(STATS, items, counted),
            *check_snapshots(USERS, items),
            *(Finding(stream, Wrong.DIFFERING, f"{name} is still parked") for name, stream in sorted(self._parked())),
        ]


def _create_tables(client: DynamoDBClient, tables: settings.Settings) -> None:
    names = {
        "EventsTable": tables.events_table,
        "ReadModelsTable": tables.read_models_table,
        "ParkedTable": tables.parked_table,
    }
    for resource, name in names.items():
        declared = resource_properties(TEMPLATE, resource)
        wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        table: Any = {key: declared[key] for key in wanted if key in declared}
        for index in table.get("GlobalSecondaryIndexes", []):
            index.pop("WarmThroughput", None)  # AWS alone has it
        if "StreamSpecification" in declared:
            table["StreamSpecification"] = {"StreamEnabled": True, **declared["StreamSpecification"]}
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--endpoint", help="a DynamoDB Local that runs already; without it one is started")
    return parser.parse_args()


def main() -> int:
    """Run once; 0 if nothing is lost, doubled or different."""
    options = _options()
    os.environ |= {"AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos", "AWS_DEFAULT_REGION": "eu-west-1"}
    started = time.monotonic()
    with nullcontext(options.endpoint) if options.endpoint else dynamodb_local.running() as url:
        run = Run(url, options)
        findings = run.go()
    print(run.report())
    wrong = Counter(finding.wrong for finding in findings)
    print("checked", *(f"  {kind:<28} {wrong[kind]}" for kind in Wrong), sep="\n")
    for finding in sorted(findings)[:50]:
        print(f"✗ {finding}")
    verdict = f"{len(findings)} faults" if findings else "nothing lost, nothing doubled, nothing different"
    print(f"seed {options.seed}: {verdict} ({time.monotonic() - started:.0f} s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
