"""`eventfold verify`, `export`, `import`: what concerns the whole event table."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.options import AsJson, aside, console, print_json
from cli.parallel import cores
from cli.target import connect
from cli.verifying import Plan, run_verification

if TYPE_CHECKING:
    from eventfold.findings import Finding

Rate = Annotated[float | None, typer.Option(min=1, help="Read units a second, in all; without it, as fast as it goes.")]


def verify(
    context: typer.Context,
    *,
    segments: Annotated[int, typer.Option(min=1, max=1000, help="Parts that the table is read in.")] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time; without it, one a core.")] = 0,
    rate: Rate = None,
    as_json: AsJson = False,
) -> None:
    """Prove that every stream is whole and every snapshot, row and counter is what the events make. Exit code 1 if not.

    Reads both tables once, and changes nothing; commands may go on meanwhile.

    Example: eventfold verify --segments 16
    """
    connect(context.obj)
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        if as_json:
            print_json({"finding": dataclasses.asdict(finding)})
        else:
            console.print(f"[red]✗[/] {escape(str(finding))}")

    plan = Plan(partial(connect, context.obj), segments, workers or cores(), rate)
    verified = run_verification(plan, tell, aside())
    if as_json:
        print_json({"verified": dataclasses.asdict(verified), "findings": len(found)})
    else:
        read = f"{verified.streams:,} streams, {verified.events:,} events, {verified.snapshots:,} snapshots"
        ignored = f" ({verified.other_schemas:,} of another schema, ignored)" if verified.other_schemas else ""
        verdict = f"[red]{len(found):,} findings[/] in" if found else "[green]✓[/] All as it should be:"
        console.print(f"{verdict} {read}{ignored}.")
    raise typer.Exit(1 if found else 0)
