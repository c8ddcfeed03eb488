"""`eventfold verify`, `export`, `import`: what concerns the whole event table."""

from __future__ import annotations

import dataclasses
import json
import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eventfold.application.rebuilds import TABLE, items_in
from eventfold.cli.files import STANDARD, lines_of, written
from eventfold.cli.options import AsJson, aside, console, print_json
from eventfold.cli.parallel import cores
from eventfold.cli.target import connect
from eventfold.cli.verifying import Plan, run_verification
from eventfold.operations.transfer.exporting import Moved, export_events, read_lines
from eventfold.operations.transfer.importing import Importer
from eventfold.operations.verify.streams import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventfold.operations.verify.finding import Finding

Rate = Annotated[float | None, typer.Option(min=1, help="Read units a second, in all; without it, as fast as it goes.")]


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
    raise typer.Exit(1 if found else 0)


def _repair(found: Iterable[Finding]) -> str | None:
    """Return the command that puts right what is wrong with snapshots."""
    streams = {one.stream for one in found if one.where == SNAPSHOT}
    return f"eventfold snapshot take {'--all' if len(streams) > 1 else shlex.quote(*streams)}" if streams else None


def export_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Where to; gzip if it ends in .gz, - for stdout.")],
    *,
    rate: Rate = None,
    as_json: AsJson = False,
) -> None:
    """Write all events to a file: NDJSON, a commit a line, stream after stream. Commands may go on meanwhile.

    Snapshots stay behind: they are taken anew from the events.

    Example: eventfold export events.ndjson.gz
    """
    app = connect(context.obj)
    with written(file) as out, _progress("Exporting") as bar:
        task = bar.add_task("", total=items_in(app, TABLE) or None, said="")

        def report(moved: Moved) -> None:
            bar.update(task, completed=moved.commits, said=_said(moved))

        moved = export_events(app.scannable_store, out.write, rate=rate, report=report)
    _end(moved, "exported", as_json=as_json, to_stdout=file == STANDARD)


def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="What `eventfold export` has written; - for stdin.")],
    *,
    writers: Annotated[int, typer.Option(min=1, max=64, help="Streams that are written at the same time.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Append the events of a file, each commit behind the one before; what is there, the same, is passed over.

    Stopped half-way, run it again: it goes on. A commit that differs from the table's stops it. On a live stack the
    projections and snapshots follow, as they do with any commit. `eventfold verify` proves the result.

    Example: eventfold import events.ndjson.gz
    """
    app = connect(context.obj)
    with _progress("Importing") as bar:
        task = bar.add_task("", total=None, said="")
        importer = Importer(
            app.scannable_store, writers=writers, report=lambda moved: bar.update(task, said=_said(moved))
        )
        with lines_of(file, lambda done, size: bar.update(task, completed=done, total=size)) as lines:
            moved = importer.run(read_lines(lines))
    _end(moved, "imported", as_json=as_json, to_stdout=False)


def _progress(what: str) -> Progress:
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    to = aside()
    left = (TextColumn("left:"), TimeRemainingColumn())
    return Progress(*columns, *left, console=to, transient=True, disable=not to.is_terminal)


def _said(moved: Moved) -> str:
    there = f", {moved.there:,} commits there already" if moved.there else ""
    return f"{moved.streams:,} streams, {moved.events:,} events{there}"


def _end(moved: Moved, done: str, *, as_json: bool, to_stdout: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(moved)), err=to_stdout)
    else:
        (aside() if to_stdout else console).print(f"[green]✓[/] {done}: {_said(moved)}.")
