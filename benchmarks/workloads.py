"""What is measured: each workload once for its cost on the real store, and in rounds for its CPU."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.cloning import clone
from benchmarks.runners import BrokenError, Counted, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.runners import Field, Worker


@dataclass(frozen=True)
class Sizes:
    """How big the workloads are: events of streams, rows of lists and their ranges, calls of a round; W's turns.

    Each peer works for `warm_up_seconds` before its first round is timed: compilers and caches have settled then.
    """

    near: int = 100
    long: int = 1_000
    pages: int = 2_500
    streams: int = 200
    each: int = 100
    calls: int = 240
    turns: int = 8
    writers: int = 8
    commands: int = 25
    lengths: tuple[int, ...] = (10, 1_000, 100_000)
    lists: tuple[tuple[int, int], ...] = ((200, 4), (10_000, 64), (100_000, 2_500))
    starts: int = 21
    warm_up_seconds: float = 0.5


type Calls = list[list[object]]


@dataclass(frozen=True)
class Workload:
    """One kind of work.

    `streams` are filled before: a name, its events, and how many of them come before a snapshot (0: none). `once` is
    the call whose cost is counted, `calls(round)` are a round's. A figure is for one of the `per` units of a call.
    """

    key: str
    title: str
    method: str
    once: list[object]
    calls: Callable[[int], Calls]
    streams: tuple[tuple[str, int, int], ...] = ()
    clones: tuple[str, ...] = ()
    per: int = 1


def workloads(sizes: Sizes) -> tuple[Workload, ...]:
    """Return those that all peers do the same way, if they have a way."""

    def new(events: int) -> Callable[[int], Calls]:
        return lambda number: [[f"new-{events}-{number}-{n}", events] for n in range(sizes.calls)]

    many = tuple(f"many-{n:03}" for n in range(sizes.streams))
    all_events = sizes.streams * sizes.each
    half, few = max(sizes.calls // 2, 1), max(sizes.calls // 8, 1)
    # `near` stays as it is: while it is timed, writes go nowhere. `near-once` is for the count.
    near = (("near", sizes.near, 0), ("near-once", sizes.near, 0))
    return (
        Workload("A", "append 1 event to a new stream", "append", ["once-1", 1], new(1)),
        Workload(
            "B", f"load {sizes.near} events, decide, append", "change", ["near-once"], lambda _: [["near"]] * half, near
        ),
        Workload("C", "append 5 events, all or none", "append", ["once-5", 5], new(5)),
        Workload("D", f"load {sizes.long:,} events, no snapshot", "load", ["long"], lambda _: [["long"]] * few),
        Workload(
            "E",
            "load a snapshot and 10 events",
            "load",
            ["snap"],
            lambda _: [["snap"]] * sizes.calls,
            (("snap", 60, 50),),
        ),
        Workload(
            "N",
            f"read {all_events:,} events of {sizes.streams} streams, stream by stream",
            "read_streams",
            [many],
            lambda _: [[many]],
            ((many[0], sizes.each, 0),),
            many[1:],
            all_events,
        ),
        Workload("G", "read every event of the table by a scan", "scan", [], lambda _: [[]]),
    )


@dataclass
class Measured:
    """What one peer did in one workload: seconds for one unit, by round. `missing` says why there is nothing."""

    cost: Counted = field(default_factory=lambda: Counted([], 0, 0))
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    missing: str = ""

    def add(self, spent: Mapping[str, float], units: float) -> None:
        """Take in a round that took so many seconds for so many units."""
        self.cpu.append(spent["cpu"] / units)
        self.wall.append(spent["wall"] / units)

    def ratios(self, base: Measured) -> list[float]:
        """Return each round's ratio to another's CPU."""
        return [mine / its for mine, its in zip(self.cpu, base.cpu, strict=True)]

    def ratio(self, base: Measured) -> float:
        """Return the median of the rounds' ratios to another's CPU."""
        return statistics.median(self.ratios(base))


type Row = dict[str, Measured]


def measure(field_: Field, workload: Workload, sizes: Sizes, rounds: int, row: Row) -> Iterator[str]:
    """Fill a row of the results: cost on the real store, then rounds on the stub; yield what is being done."""
    workers = [worker for worker in field_.workers if worker.kind.does(workload.key)]
    field_.stub.switch("record")
    able: list[tuple[Worker, int]] = []
    for worker in workers:
        yield f"{workload.key}: preparing {worker.name}"
        per = prepare(field_, worker, workload, row)
        if not row[worker.name].missing:
            able.append((worker, per))
    field_.stub.switch("replay")
    for worker, _ in able:
        warm_up(worker, workload, sizes.warm_up_seconds)
    for number in range(rounds):
        yield f"{workload.key}: round {number + 1} of {rounds}"
        for worker, per in able[:: 1 if number % 2 else -1]:
            calls = workload.calls(number)
            spent = worker.time(workload.method, calls)
            row[worker.name].add(spent, len(calls) * per)


def profiles(field_: Field, worker: Worker, workload: Workload) -> dict[str, float]:
    """Return where a peer's CPU goes in a workload that was measured, by part."""
    field_.stub.switch("replay")
    shares: dict[str, float] = worker.ask("profile", workload.method, workload.calls(0))
    return shares


def prepare(field_: Field, worker: Worker, workload: Workload, row: Row) -> int:
    """Fill streams, count the cost of one call, and let the stub record what is read; return the units of a call."""
    try:
        for stream, events, snapshot_at in workload.streams:
            fill(worker, stream, events, snapshot_at)
        if workload.clones:
            stream, events, _ = workload.streams[0]
            clone(field_.store, worker, stream, workload.clones)
        for _ in range(worker.kind.before if workload.method == "change" else 0):
            worker.call("change", *workload.once)
        row[worker.name] = Measured(worker.cost(workload.method, *workload.once))
        done = worker.call(workload.method, *workload.calls(-1)[0])
    except MissingError as why:
        row[worker.name] = Measured(missing=f"can't: {why}")
    except BrokenError as why:
        row[worker.name] = Measured(missing=f"fails: {why}")
    else:
        return done if workload.method == "scan" else workload.per
    return 1


def warm_up(worker: Worker, workload: Workload, seconds: float) -> None:
    """Do the work until it has taken long enough."""
    spent, number = 0.0, 0
    while spent < seconds:
        number -= 1
        spent += worker.time(workload.method, workload.calls(number))["wall"]


def fill(worker: Worker, stream: str, events: int, snapshot_at: int = 0) -> None:
    """Prepare a stream of one event a commit, with a snapshot at a version."""
    worker.ask("fill", stream, snapshot_at or events)
    if snapshot_at:
        worker.call("snapshot", stream)
        for version in range(snapshot_at, events):
            worker.call("append", stream, 1, version)
