"""`eventfold verify`: segments in processes, findings as they come, a count of what was read."""

from __future__ import annotations

import dataclasses
import shlex
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from eventfold.application.rebuilds import TABLE, items_in
from eventfold.application.verification import Outcome, Segment, check_events, check_keys, judged, shown_names
from eventfold.cli.options import AsJson, Rate, aside, console, print_json
from eventfold.cli.parallel import Line, Workers, cores
from eventfold.cli.target import connect
from eventfold.operations.verify.finding import CLAIMS, Finding
from eventfold.operations.verify.segment import Verified
from eventfold.operations.verify.streams import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


def verify(
    context: typer.Context,
    *,
    segments: Annotated[int, typer.Option(min=1, max=1000, help="Parts that the table is read in.")] = 8,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at a time; without it, one a core.")] = None,
    rate: Rate = None,
    as_json: AsJson = False,
) -> None:
    """Prove that every stream is whole and every snapshot, row and counter is what the events make. Exit code 1 if not.

    Changes nothing; commands may go on meanwhile. Says which verb repairs a snapshot.

    Example: eventfold verify --segments 16
    """
    app = connect(context.obj)
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        if as_json:
            print_json({"finding": dataclasses.asdict(finding)})
        else:
            console.print(f"[red]✗[/] {escape(str(finding))}")

    plan = Plan(partial(connect, context.obj), segments, workers or cores(), rate)
    done = run_verification(app, plan, tell, aside())
    verified, repair = done.verified, _repair(found)
    for counter in done.unjudged:
        aside().print(f"[yellow]![/] moves too fast to be judged: {escape(counter)}")
    if as_json:
        told = {"findings": len(found), "repair": repair, "unjudged": list(done.unjudged)}
        print_json({"verified": dataclasses.asdict(verified)} | told)
    else:
        read = f"{verified.streams:,} streams, {verified.events:,} events, {verified.snapshots:,} snapshots"
        ignored = f" ({verified.other_schemas:,} of another schema, ignored)" if verified.other_schemas else ""
        verdict = f"[red]{len(found):,} findings[/] in" if found else "[green]✓[/] All as it should be:"
        console.print(f"{verdict} {read}{ignored}.")
        if repair:
            console.print(
                f"Snapshots: [bold]{escape(repair)}[/] replays the events and replaces what differs. Where a changed "
                "evolve or upcaster is the cause, raise the decider's state_version: no process uses old ones then."
            )
        if any(one.where == CLAIMS for one in found):
            console.print("Unique keys: [bold]eventfold claims build[/] claims what states have, and nothing else.")
    raise typer.Exit(1 if found else 0)


def _repair(found: Iterable[Finding]) -> str | None:
    """Return the command that puts right what is wrong with snapshots."""
    streams = {one.stream for one in found if one.where == SNAPSHOT}
    return f"eventfold snapshot take {'--all' if len(streams) > 1 else shlex.quote(*streams)}" if streams else None


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
