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
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from app import settings, wiring
from app.directory import DIRECTORY
from app.stats import STATS
from app.users import USERS
from eventfold.dynamodb import create_client
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
from local.chaos_streams import TEMPLATE, Functions
from local.chaos_writers import SNAPSHOT_EVERY, World, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

REDRIVES = 100


class Run:
    """One run: a world of its own on a DynamoDB Local."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        suffix = uuid.uuid4().hex[:8]
        self.tables = settings.Settings(
            events_table=f"events-{suffix}",
            read_models_table=f"read-models-{suffix}",
            parked_table=f"parked-{suffix}",
            snapshot_every=SNAPSHOT_EVERY,
            aws_endpoint_url=url,
        )
        self.client = create_client(url, read_timeout=20)
        _create_tables(self.client, self.tables)
        random.seed(options.seed)  # what the library and botocore draw their jitter from
        self.turns = Turns(options.seed)
        users = [f"{number}" for number in range(options.users)]
        self.world = World(self.turns, url, self.tables.events_table, users)
        share = options.commands // options.writers
        self.writers = [Writer(self.world, number, options.seed, share) for number in range(options.writers)]
        self.functions = Functions(self.turns, url, self.tables, options.seed)
        self.retries = 0
        self.writing = 0

    def go(self) -> list[Finding]:
        """Write, project, redrive, check; return what is wrong."""
        with ExitStack() as stack:
            stack.enter_context(pauses(self._pause))
            stack.enter_context(self.functions.faults)
            self.turns.run(self._workers())
            self.functions.pump.drain()
            self.functions.snapshots.drain()
            forgotten = self._forgotten()
            self.functions.fixed = True
            for _ in range(REDRIVES):
                self.functions.redrive()
        self.functions.replay()
        self.functions.redrive()
        return forgotten + self._check()

    def _pause(self, seconds: float) -> None:
        self.retries += 1
        self.turns.take(seconds)

    def _workers(self) -> list[Writer | object]:
        raise NotImplementedError


if __name__ == "__main__":
    sys.exit()
