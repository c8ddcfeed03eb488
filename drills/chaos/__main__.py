"""`make chaos`: thousands of commands under every fault there is, then every promise checked.

Writers, functions and operators are threads that take turns by seed, so a seed that fails does so again.
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

from aws_lambda_powertools.metrics.provider import cold_start

from app.users.rules import USERS
from drills.chaos import troubles
from drills.chaos.audit import Audit
from drills.chaos.checks import check_events, check_read_models, left_behind, verify
from drills.chaos.functions import TEMPLATE, Functions
from drills.chaos.queries import Queries
from drills.chaos.rebuilds import Rebuilds
from drills.chaos.world import World
from drills.chaos.writers import LONG, Book, Writer
from eventfold.application import Settings
from eventfold.testing.checker import Finding, Word, Wrong
from eventfold.testing.mapping import resource_properties
from functions.rebuild.handler import HOLD_SECONDS
from local import dynamodb_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

HOURS = 6 * 3600.0
"""What a run may take longer than its commands, of its own time: far more than any retry."""


class Run:
    """One run: tables of its own on a DynamoDB Local."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        suffix = uuid.uuid4().hex[:8]
        tables = Settings(
            events_table=f"events-{suffix}",
            read_models_table=f"read-models-{suffix}",
            parked_table=f"parked-{suffix}",
            claims_table=f"claims-{suffix}",
            snapshot_every=10,
            aws_endpoint_url=url,
        )
        random.seed(options.seed)  # what the library and botocore draw their jitter from
        self.world = World(url, tables, options.seed, options.commands, options.writers)
        self.client = self.world.client()  # without faults, for the checks
        _create_tables(self.client, tables)
        self.book = Book([str(number) for number in range(options.users)] + [LONG])
        shares = [len(range(number, options.commands, options.writers)) for number in range(options.writers)]
        self.writers = [Writer(self.world, self.book, number, share) for number, share in enumerate(shares)]
        self.functions = Functions(self.world)
        self.queries = Queries(self.world, [USERS.stream(user) for user in self.book.users])
        self.rebuilds = Rebuilds(self.world, self.functions, self.queries)

    def go(self) -> list[Finding]:
        """Write, project, redrive, rebuild; then check, and return what is wrong."""
        world, functions, turns = self.world, self.functions, self.world.turns
        with turns.instead_of_time():
            with functions.faults:
                turns.run(self._workers(), seconds=world.seconds + HOURS)
            turns.run({"calm": partial(troubles.calm, world, functions)}, seconds=HOURS)
            turns.run({"the last drops": self._drop_unused}, seconds=HOURS)
            world.wrong += self._check()
            turns.run({"the last rebuilds": self._show_anew}, seconds=HOURS)
        if (sent := world.counts["commands"]) != world.commands:
            raise RuntimeError(f"{sent} commands were sent: a run that did less proves nothing")
        return [*world.wrong, *check_read_models(self.client, world.tables)]

    def _check(self) -> Iterator[Finding]:
        attempts = [attempt for writer in self.writers for attempt in writer.ledger.attempts]
        yield from check_events(self.client, self.world.tables, attempts, self.book)
        yield from check_read_models(self.client, self.world.tables)
        yield from left_behind(self.client, self.world.tables, self.functions.left_in_bucket())
        yield from verify()

    def _drop_unused(self) -> None:
        """End what the weather has cut short: a generation that is being dropped leaves rows until it is gone."""
        for target in self.functions.targets:
            if not self.rebuilds.drop(target.name):
                self.world.wrong.append(Finding(target.name, Wrong.DIFFERING, "can't be dropped"))

    def _show_anew(self) -> None:
        """Rebuild every read model once more: now that the weather is calm, nothing stands in the way."""
        for target in self.functions.targets:
            if not self.rebuilds.promote(target.name) and not self._promote_later(target.name):
                self.world.wrong.append(Finding(target.name, Wrong.DIFFERING, "can't be rebuilt"))

    def _promote_later(self, name: str) -> bool:
        """Take over from a rebuild that the weather has cut short, once it keeps others out no more."""
        self.world.pause(HOLD_SECONDS)
        return self.rebuilds.promote(name)

    def _workers(self) -> dict[str, Callable[[], None]]:
        world, functions = self.world, self.functions
        workers: dict[str, Callable[[], None]] = {writer.name: writer for writer in self.writers}
        for name, pump in functions.pumps.items():
            workers[f"{name}, reader"] = partial(pump.read_on, pause=world.poll, is_over=world.is_over)
            for number in range(pump.mapping.parallelization_factor):
                workers[f"{name}, lane {number}"] = partial(pump.work_on, number, pause=world.pause)
        for trouble in troubles.ALL:
            workers[trouble.__name__] = partial(trouble, world, functions)
        audit = Audit(world, functions, self.client)
        return {**workers, "queries": self.queries, "rebuilds": self.rebuilds, "audit": audit}

    def report(self) -> str:
        """Return the run in figures."""
        faults: Counter[str] = Counter()
        for injector in (*(writer.faults for writer in self.writers), self.functions.faults):
            faults.update({str(fault): times for fault, times in injector.counts.items()})
        words = Counter(str(attempt.word) for writer in self.writers for attempt in writer.ledger.attempts)
        more: dict[str, int | str] = {
            "appends": f"{words.total()} ({', '.join(f'{words[word]} {word}' for word in Word)})",
            "minutes": round(self.world.turns.now / 60),
            "turns": self.world.turns.taken,
            "records given up": sum(
                len(one.records) for pump in self.functions.pumps.values() for one in pump.given_up
            ),
        }
        sections: dict[str, Mapping[str, int | str]] = {
            "commands and troubles": self.world.counts,
            "faults": faults,
            "projections": self.functions.counts,
            **{f"mapping of the {name}": pump.counts for name, pump in self.functions.pumps.items()},
            "in all": more,
        }
        lines = []
        for title, figures in sections.items():
            lines.append(title)
            lines += [f"  {name:<28} {figures[name]}" for name in sorted(figures)]
        return "\n".join(lines)


def _create_tables(client: DynamoDBClient, tables: Settings) -> None:
    names = {
        "EventsTable": tables.events_table,
        "ReadModelsTable": tables.read_models_table,
        "ParkedTable": tables.parked_table,
        "ClaimsTable": str(tables.claims_table),
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
    parser.add_argument("--commands", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--endpoint", help="a DynamoDB Local that runs already; without it one is started")
    return parser.parse_args()


def main() -> int:
    """Run once; 0 if nothing is lost, doubled or different."""
    options = _options()
    os.environ |= {"AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos", "AWS_DEFAULT_REGION": "eu-west-1"}
    os.environ |= {"POWERTOOLS_METRICS_DISABLED": "true", "POWERTOOLS_METRICS_NAMESPACE": "chaos"}
    cold_start.is_cold_start = False  # Powertools prints that one metric even where metrics are disabled.
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
