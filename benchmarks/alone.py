"""What only eventfold is measured in: known aggregates, a projection batch, cost against length, a rebuild's memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.cloning import clone
from benchmarks.kinds import OURS, WARM
from benchmarks.runners import BrokenError, Counted
from benchmarks.workloads import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.runners import Field, Worker
    from benchmarks.workloads import Row, Sizes


BATCHES = 3
LIST_PAGE = 20
TIMED = ("load_short", "change_cold")
PAST = ("one_event", "state_after", "state_then")


@dataclass
class Reading:
    """A rebuild's read at one size."""

    events: int
    measured: Measured
    peak_bytes: int


def known(field: Field, sizes: Sizes, rounds: int, row: Row) -> Iterator[str]:
    """W: a command on an aggregate that the process knows, and an append, in turns in one process.

    They differ by less than two processes that do the same.
    """
    worker = field.worker(WARM)
    field.stub.switch("record")
    yield "W: preparing"
    worker.call("append", "known", 1)
    worker.call("change", "known")
    row[OURS.name] = Measured(worker.cost("append", "beside", 1))
    row[WARM.name] = Measured(worker.cost("change", "known"))
    field.stub.switch("replay")
    calls = range(sizes.calls // sizes.turns or 1)
    for number in range(-1, rounds):
        yield f"W: round {max(number, 0) + 1} of {rounds}"
        spent = {OURS.name: Counter[str](), WARM.name: Counter[str]()}
        for turn in range(sizes.turns):
            spent[OURS.name].update(worker.time("append", [[f"beside-{number}-{turn}-{n}", 1] for n in calls]))
            spent[WARM.name].update(worker.time("change", [["known"] for _ in calls]))
        for name, one in spent.items() if number >= 0 else ():
            row[name].add(one, len(calls) * sizes.turns)


def projections(field: Field, worker: Worker, rounds: int, row: Row) -> Iterator[str]:
    """H: project 100 commits of 10 streams into a read model that has seen 100. CPU seconds are for one commit."""
    yield "H: preparing"
    field.stub.switch("record")
    commits = worker.call("commit_batch")
    worker.call("project_first", "once")
    measured = row[worker.name] = Measured(worker.cost("project_batch", "once"))
    for number in range(rounds):
        yield f"H: round {number + 1} of {rounds}"
        names = [f"people{number}x{n}" for n in range(BATCHES)]
        for name in names:
            worker.call("project_first", name)
        # On the real store: what it writes hangs on what it read before.
        spent = worker.time("project_batch", [[name] for name in names])
        measured.add(spent, BATCHES * commits)


def lengths(
    field: Field, worker: Worker, sizes: Sizes, rounds: int, rows: dict[str, dict[int, Measured]]
) -> Iterator[str]:
    """L: a command of a process that knows nothing, and a load, with a snapshot ten events back, by version.

    And the cost of what is read of the past: one event, and the state at a version and at a moment.
    """
    field.stub.switch("record")
    rows |= {method: {} for method in (*TIMED, *PAST)}
    for version in sizes.lengths:
        yield f"L: a stream of {version:,} events"
        worker.call("grow", f"length-{version}", version)
        if worker.call("load_short", f"length-{version}") != version + 10:
            raise AssertionError(f"a stream of {version:,} events and 10 more came back otherwise")
        for method, at in zip(PAST, (version // 2 + 1, version + 9, max(version - 40, 0) // 20 * 10), strict=True):
            if worker.call(method, f"length-{version}", at) != at:
                raise AssertionError(f"{method}: version {at:,} of {version:,} came back otherwise")
            rows[method][version] = Measured(worker.cost(method, f"length-{version}", at))
        # The load first: the command adds an event.
        for method in TIMED:
            rows[method][version] = Measured(worker.cost(method, f"length-{version}"))
        worker.call("load_short", f"length-{version}")
        worker.call("change_cold", f"length-{version}")
    field.stub.switch("replay")
    for number in range(-1, rounds):
        yield f"L: round {max(number, 0) + 1} of {rounds}"
        for method in TIMED:
            row = rows[method]
            for version, measured in list(row.items())[:: 1 if number % 2 else -1]:
                spent = worker.time(method, [[f"length-{version}"]] * sizes.calls)
                if number >= 0:
                    measured.add(spent, sizes.calls)


def lists(
    field: Field, worker: Worker, sizes: Sizes, rounds: int, rows: dict[str, dict[int, Measured]]
) -> Iterator[str]:
    """L: a page of a list, the first of a range in its middle, by rows and by the ranges that they lie in."""
    field.stub.switch("record")
    row = rows["list_page"] = {}
    for number, ranges in sizes.lists:
        yield f"L: a list of {number:,} rows"
        worker.call("grow_list", number, ranges)
        if worker.call("list_page", number, ranges, LIST_PAGE) != LIST_PAGE:
            raise AssertionError(f"a page of {number:,} rows came back otherwise")
        row[number] = Measured(worker.cost("list_page", number, ranges, LIST_PAGE))
    field.stub.switch("replay")
    for number in range(-1, rounds):
        for size, ranges in sizes.lists[:: 1 if number % 2 else -1]:
            spent = worker.time("list_page", [[size, ranges, LIST_PAGE]] * sizes.calls)
            if number >= 0:
                row[size].add(spent, sizes.calls)


def rebuild(field: Field, workers: Sequence[Worker], sizes: Sizes, rounds: int, found: list[Reading]) -> Iterator[str]:
    """R: read a whole table by a scan, a small one and a large one, in turns: a machine's speed changes as it goes."""
    field.stub.switch("record")
    names = [f"many-{n:03}" for n in range(sizes.streams)]
    for worker, streams in zip(workers, (names[: sizes.streams // 4], names), strict=True):
        yield f"R: {len(streams) * sizes.each:,} events"
        worker.ask("fill", names[0], sizes.each)
        clone(field.store, worker, names[0], streams[1:])
        measured = Measured(worker.cost("scan"))
        events = worker.call("scan")
        if events != len(streams) * sizes.each:
            raise AssertionError(f"a scan read {events:,} of {len(streams) * sizes.each:,} events")
        found.append(Reading(events, measured, worker.ask("peak", "scan", [])))
    field.stub.switch("replay")
    for number in range(-1, rounds):
        yield f"R: round {max(number, 0) + 1} of {rounds}"
        for worker, reading in list(zip(workers, found, strict=True))[:: 1 if number % 2 else -1]:
            spent = worker.time("scan", [[]])
            if number >= 0:
                reading.measured.add(spent, 1)


def race(field: Field, sizes: Sizes, rounds: int, row: Row, faults: dict[str, list[str]]) -> Iterator[str]:
    """F: writers on one stream of the real store, each with what a process of its own would remember, by peer."""
    field.stub.switch("record")
    successes = sizes.writers * sizes.commands
    workers = [worker for worker in field.workers if worker.kind.does("F") and worker.name in faults]
    for number in range(-1, rounds):
        for worker in workers[:: 1 if number % 2 else -1]:
            yield f"F: round {max(number, 0) + 1} of {rounds}: {worker.name}"
            stream = f"race-{number}"
            measured = row.setdefault(worker.name, Measured())
            if measured.missing:
                continue
            worker.call("append", stream, 1)
            try:
                spent = worker.ask("race", stream, sizes.writers, sizes.commands if number >= 0 else 1)
            except BrokenError as why:
                measured.missing = f"fails: {why}"
                continue
            if number < 0:
                continue  # a warm-up
            measured.cost = Counted(spent["requests"], spent["read"], spent["written"])
            measured.add(spent, successes)
            kept = worker.call("load", stream)[0] - 1
            if kept != successes and not any("lost" in one for one in faults[worker.name]):
                faults[worker.name].append(f"8 writers of one stream: {successes - kept} of {successes} updates lost")
