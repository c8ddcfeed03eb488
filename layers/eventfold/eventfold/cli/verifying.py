"""Running a verification from this machine: segments in processes, findings as they come, a count of what was read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from eventfold.application.rebuilds import TABLE, items_in
from eventfold.application.verification import Outcome, Segment, check_events, check_keys, judged, shown_names
from eventfold.cli.parallel import Line, Workers
from eventfold.operations.verify.finding import Finding
from eventfold.operations.verify.segment import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from eventfold.application import Application


@dataclass(frozen=True)
class Plan:
    """How a verification is run from here: `connect` is called once in each process, `rate` is theirs together."""

    connect: Callable[[], Application]
    segments: int
    workers: int
    rate: float | None


@dataclass(frozen=True)
class Verification:
    """What was read, and of which counters it can't be told whether they are right: they move too fast."""

    verified: Verified
    unjudged: Sequence[str]


def run_verification(app: Application, plan: Plan, found: Callable[[Finding], None], console: Console) -> Verification:
    """Verify everything, telling `found` of each finding."""
    jobs = [Segment(shown_names(app), n, plan.segments, _share(plan)) for n in range(plan.segments)]
    outcome = Outcome()
    with Workers(plan.connect, min(plan.workers, plan.segments)) as workers:
        with console.status("Looking for rows without a stream ..."):
            stored = {one for some in workers.run(_keys, jobs, found) for one in some}
        with Bar(found, console, items_in(app, TABLE)) as bar:
            for one in workers.run(_events, jobs, bar.hear):
                outcome.add(one)
    with console.status("Comparing counters ..."):
        wrong, unjudged = judged(app, outcome, stored, plan.rate)
    for finding in wrong:
        found(finding)
    return Verification(outcome.verified, unjudged)


class Bar:
    """Shows what all segments have read, and passes findings on."""

    def __init__(self, found: Callable[[Finding], None], console: Console, total: int) -> None:
        self._found = found
        self._segments: dict[int, Verified] = {}
        columns = (TextColumn("Verifying"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total or None, said="")
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def hear(self, told: Finding | tuple[int, Verified]) -> None:
        """Take what a worker tells."""
        if isinstance(told, Finding):
            self._found(told)
            return
        segment, verified = told
        self._segments[segment] = verified
        total = sum(self._segments.values(), Verified())
        rate = total.events / max(time.monotonic() - self._started, 0.001)
        said = f"{total.streams:,} streams, {total.events:,} events, {rate:,.0f} a second"
        self._bar.update(self._task, completed=total.commits + total.snapshots, said=said)


def _share(plan: Plan) -> float | None:
    return plan.rate / min(plan.workers, plan.segments) if plan.rate else None


def _keys(line: Line, segment: Segment) -> set[tuple[str, str]]:
    return check_keys(line.app, segment, line.tell, line.stop)


def _events(line: Line, segment: Segment) -> Outcome:
    return check_events(line.app, segment, line.tell, partial(_tell, line, segment.number), line.stop)


def _tell(line: Line, number: int, verified: Verified) -> None:
    line.tell((number, verified))
