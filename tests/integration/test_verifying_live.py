"""Verification while writers go on: what moves meanwhile is no finding."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from eventfold.aggregates.snapshots import take_snapshot
from tests.domain import COUNTER
from tests.verified import World

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.mark.dynamodb_local
def test_live_writes_are_no_findings(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> None:
    world = World(local_client, *local_tables, sleep=time.sleep)
    for n in range(60):
        world.append(str(n), 1, 2)
    stopped = threading.Event()

    def write(writer: int) -> int:
        done = 0
        mine = World(world.client, world.events, world.read_models)
        while not stopped.is_set():
            mine.append(f"{done % 20 * 3 + writer}", 1)
            mine.append(f"new-{writer}-{done}", 1, 1)
            take_snapshot(mine.store, COUNTER, f"counter-{done % 20 * 3 + writer}", 1)
            done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, writer) for writer in range(3)]
        try:
            streams = []
            for _ in range(8):
                assert world.findings() == set()
                streams.append(world.verified.streams)
        finally:
            stopped.set()
        assert all(writer.result() > 0 for writer in writers)
    assert streams[-1] > streams[0]
    assert world.findings() == set()
