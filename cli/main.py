"""`eventfold parked list|redrive`."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from app.redrive import UnknownProjectionError, check_projection, parked_streams
from app.redrive import redrive as redrive_parked
from cli.projections import projections
from cli.target import Flags, NoStackError, connect
from eventfold.errors import RebuildRefusedError, StoreUnavailableError

EXPECTED = (
    NoStackError,
    UnknownProjectionError,
    RebuildRefusedError,
    StoreUnavailableError,
    BotoCoreError,
    ClientError,
)
"""What goes wrong without being a fault of the program: a message, and no traceback."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Look after an eventfold stack: the local one, or one on AWS.",
)
parked = typer.Typer(no_args_is_help=True, help="Streams that a projection can't go on with.")
app.add_typer(parked, name="parked")
app.add_typer(projections, name="projection")

console = Console(soft_wrap=True, highlight=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Projection = Annotated[str | None, typer.Option(help="Only this projection's.")]


@app.callback()
def stack(
    context: typer.Context,
    stack: Annotated[str | None, typer.Option(help="A CloudFormation stack; without it, the local one.")] = None,
    profile: Annotated[str | None, typer.Option(help="An AWS profile.")] = None,
    region: Annotated[str | None, typer.Option(help="An AWS region.")] = None,
) -> None:
    """Note which stack to work on; a command connects when it needs it."""
    context.obj = Flags(stack, profile, region)


@parked.command("list")
def list_parked(context: typer.Context, *, projection: Projection = None, as_json: AsJson = False) -> None:
    """Show what is parked, and why. Exit code 1 if anything is.

    Example: eventfold parked list --json
    """
    connect(context.obj)
    found = parked_streams(projection)
    if not found:
        check_projection(projection)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) | {"since": one.since.isoformat()} for one in found]))
    elif found:
        for one in found:
            since = one.since.isoformat(sep=" ", timespec="seconds")
            where = f"[bold]{escape(one.projection)} {escape(one.stream)}[/] at version {one.version}"
            console.print(f"{where}, since {since}, attempts: {one.attempts}")
            console.print(f"  {escape(one.reason)}")
    else:
        console.print("[green]Nothing is parked.[/]")
    raise typer.Exit(1 if found else 0)


@parked.command("redrive")
def redrive(
    context: typer.Context,
    *,
    projection: Projection = None,
    stream: Annotated[str | None, typer.Option(help="Only this stream.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay what is parked from the event table. Exit code 1 if anything stays parked.

    Example: eventfold parked redrive --stream user-42
    """
    connect(context.obj)
    done = redrive_parked(projection, stream, report=lambda *_: None)  # stdout is the answer's, not a log's
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(done)))
    else:
        console.print(f"{done.redriven} redriven, {done.parked} still parked.")
    raise typer.Exit(1 if done.parked else 0)


def main() -> None:
    """Run the command line; what is expected to go wrong is a message and exit code 2."""
    try:
        app()
    except EXPECTED as error:
        Console(stderr=True, soft_wrap=True, highlight=False, emoji=False).print(f"[red]✗[/] {escape(str(error))}")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
