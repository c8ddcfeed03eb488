"""`eventfold parked list|redrive`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from app.wiring import feed
from cli.options import AsJson, console, print_json
from cli.target import connect

if TYPE_CHECKING:
    from eventfold.read_models.parking import Parked

parked = typer.Typer(no_args_is_help=True, help="Streams that a projection can't go on with.")

Projection = Annotated[str | None, typer.Option(help="Only this projection's.")]


@parked.command("list")
def list_parked(context: typer.Context, *, projection: Projection = None, as_json: AsJson = False) -> None:
    """Show what is parked, and why. Exit code 1 if anything is.

    Example: eventfold parked list --json
    """
    connect(context.obj)
    found = list(feed().waiting(projection))
    if not found:
        feed().check(projection)
    if as_json:
        print_json([_as_dict(one) for one in found])
    elif found:
        for one in found:
            since = one.since.isoformat(sep=" ", timespec="seconds")
            version = "an unknown version" if one.version is None else f"version {one.version}"
            where = f"[bold]{escape(one.projection)} {escape(one.stream)}[/] at {version}"
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
    done = feed().redrive(projection, stream)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        console.print(f"{done.redriven} redriven, {done.parked} still parked.")
    raise typer.Exit(1 if done.parked else 0)


def _as_dict(one: Parked) -> dict[str, object]:
    shown = dataclasses.asdict(one) | {"since": one.since.isoformat()}
    del shown["token"]
    return shown
