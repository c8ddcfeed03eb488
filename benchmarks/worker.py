"""One peer in a process of its own: reads requests as JSON lines, does the work, answers with what it cost.

Runs in the peer's environment, so it imports nothing that needs more than the standard library and the peer.
"""

from __future__ import annotations

import importlib
import itertools
import json
import random
import sys
import time
import traceback
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.profiling import profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READS = frozenset({"Query", "Scan", "GetItem", "BatchGetItem", "TransactGetItems"})
DUELS = 20
WRITE_UNIT_BYTES = 1024


class Peer(Protocol):
    """What each peer can do. A method that its library has no way to do raises `NotImplementedError`."""

    def clients(self) -> list[Any]:
        """Return the botocore clients it talks through."""
        ...

    def place(self, stream: str) -> tuple[str, str, str]:
        """Return the table that holds a stream's events, its partition key's name, and the stream's key."""
        ...

    def create_tables(self) -> None:
        """Create what it needs."""
        ...

    def append(self, stream: str, events: int, after: int = 0) -> None:
        """Append so many events, all or none, behind version `after`; raise if another writer was first."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether an append failed because another writer was first."""
        ...

    def snapshot(self, stream: str) -> None:
        """Keep a snapshot of the stream as it is. Streams that have one are named `snap...`."""
        ...

    def change(self, stream: str) -> None:
        """Load the stream, decide on its state, and append one event."""
        ...

    def writer(self, stream: str) -> Callable[[], None]:
        """Return what runs one command on the stream, with whatever a process of its own would remember."""
        ...

    def load(self, stream: str) -> tuple[int, str, int]:
        """Return a state's version, name and sum of `n`: folded from typed events, behind a snapshot if it has one."""
        ...

    def read_streams(self, streams: Sequence[str]) -> int:
        """Read streams one after another, typed and folded, eventually consistent; return how many events."""
        ...

    def scan(self) -> int:
        """Read every event there is, typed and folded by stream; return how many."""
        ...


class Meter:
    """Counts requests and capacity units. Asking for them costs CPU: what is timed is not metered, but for F."""

    def __init__(self, clients: list[Any]) -> None:
        self.on = False
        self.requests: list[str] = []
        self.units: list[tuple[str, float]] = []
        for client in clients:
            events = client.meta.events
            events.register_last("before-parameter-build.dynamodb", self._ask)
            events.register_first("before-send.dynamodb", self._count)
            events.register_last("after-call.dynamodb", self._add)

    def start(self) -> None:
        """Count from nothing."""
        self.on, self.requests, self.units = True, [], []

    def stop(self) -> dict[str, Any]:
        """Return what was counted."""
        self.on = False
        read = sum(units for name, units in self.units if name in READS)
        return {"requests": self.requests, "read": read, "written": sum(units for _, units in self.units) - read}

    def _ask(self, params: dict[str, Any], **_: object) -> None:
        if self.on:
            params["ReturnConsumedCapacity"] = "TOTAL"

    def _count(self, request: Any, **_: object) -> None:
        """Count what is sent: a retry is a request too."""
        if not self.on:
            return
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        self.requests.append(operation)
        if operation == "TransactWriteItems":
            puts = json.loads(request.body)["TransactItems"]
            self.units.append((operation, sum(transacted(put["Put"]["Item"]) for put in puts)))

    def _add(self, model: Any, parsed: dict[str, Any], **_: object) -> None:
        if self.on and model.name != "TransactWriteItems":
            used = parsed.get("ConsumedCapacity") or []
            self.units += [
                (model.name, float(one["CapacityUnits"])) for one in ([used] if isinstance(used, dict) else used)
            ]


def transacted(item: dict[str, dict[str, str]]) -> int:
    """Return the write units of one item in a transaction: two a KB. DynamoDB Local counts a transaction too low.

    Rule: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
    """
    size = 0
    for name, value in item.items():
        text = value.get("S", "")
        size += len(name) + (len(text.encode()) if text else (len(value.get("N", "")) + 1) // 2 + 1)
    return 2 * -(-size // WRITE_UNIT_BYTES)


class Worker:
    """Does what it is asked for."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.meter = Meter(peer.clients())

    def time(self, method: str, calls: list[list[Any]]) -> dict[str, float]:
        """Do calls one after another; return CPU and wall seconds."""
        run: Callable[..., Any] = getattr(self.peer, method)
        wall, cpu = time.perf_counter(), time.process_time()
        for call in calls:
            run(*call)
        return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}

    def cost(self, method: str, calls: list[list[Any]]) -> dict[str, Any]:
        """Do calls one after another; return requests and capacity units."""
        self.meter.start()
        try:
            self.time(method, calls)
        finally:
            counted = self.meter.stop()
        return counted

    def call(self, method: str, arguments: list[Any]) -> Any:
        """Do one call; return what it returns."""
        return getattr(self.peer, method)(*arguments)

    def fill(self, stream: str, events: int) -> None:
        """Prepare a stream of one event a commit."""
        if hasattr(self.peer, "fill"):
            self.peer.fill(stream, events)
            return
        for version in range(events):
            self.peer.append(stream, 1, version)

    def peak(self, method: str, arguments: list[Any]) -> int:
        """Do one call; return the most bytes that it held at a time."""
        tracemalloc.start()
        try:
            self.call(method, arguments)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def profile(self, method: str, calls: list[list[Any]]) -> dict[str, float]:
        """Do calls one after another; return which part of the CPU went where."""
        return profile(lambda: self.time(method, calls))

    def duel(self, stream: str) -> list[int]:
        """Let two writers append the same version at the same time, often; return how many succeeded each time."""
        start = Barrier(2)

        def append(number: int) -> bool:
            start.wait()
            try:
                self.peer.append(f"{stream}-{number}", 1)
            except Exception as error:
                if not self.peer.is_conflict(error):
                    raise
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            return [sum(pool.map(append, [number] * 2)) for number in range(DUELS)]

    def race(self, stream: str, writers: int, each: int) -> dict[str, Any]:
        """Let writers run commands on one stream until each has had its number of successes; return what it cost."""
        workers = [self.peer.writer(stream) for _ in range(writers)]
        self.meter.start()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            with ThreadPoolExecutor(writers) as pool:
                list(pool.map(self._persist, workers, itertools.repeat(each)))
        finally:
            spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
            counted = self.meter.stop()
        return counted | spent

    def _persist(self, write: Callable[[], None], times: int) -> None:
        """Run a command so often; again while it loses its race, after the same pauses for all peers: eventfold's."""
        for _ in range(times):
            for attempt in itertools.count():
                try:
                    write()
                except Exception as error:
                    if not self.peer.is_conflict(error):
                        raise
                    time.sleep(random.uniform(0, min(0.32, 0.01 * 2**attempt)))
                else:
                    break


def serve(worker: Worker, lines: Iterator[str]) -> None:
    """Answer requests until there are no more."""
    for line in lines:
        request = json.loads(line)
        try:
            answer = {"result": getattr(worker, request["do"])(*request["with"])}
        except NotImplementedError as error:
            answer = {"missing": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever a peer does wrong is a finding
            answer = {"error": f"{type(error).__name__}: {error}"[:300], "trace": traceback.format_exc()[-2000:]}
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    made, endpoint, prefix = sys.argv[1:]
    module, _, kind = made.partition(":")
    serve(
        Worker(getattr(importlib.import_module(f"benchmarks.peers.{module}"), kind)(endpoint, prefix)), iter(sys.stdin)
    )
