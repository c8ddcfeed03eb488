"""`eventfold export`, `import`: the whole event table into a file, and from one."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eventfold.application.rebuilds import TABLE, items_in
from eventfold.cli.files import STANDARD, lines_of, written
from eventfold.cli.options import AsJson, Rate, aside, console
from eventfold.cli.target import connect
from eventfold.operations.transfer.exporting import Moved, export_events, read_lines
from eventfold.operations.transfer.importing import Importer


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
    if moved.events and app.has_unique_keys and not as_json:
        console.print("Unique keys: [bold]eventfold claims build[/] claims those of what was imported.")


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
