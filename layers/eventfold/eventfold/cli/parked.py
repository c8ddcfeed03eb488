"""`eventfold parked list|redrive`: what a projection can't go on with, and what Lambda gave up on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from eventfold.cli.options import AsJson, aside, console, print_json
from eventfold.cli.target import connect
from eventfold.read_models.given_up import Recovered, recover

if TYPE_CHECKING:
    from eventfold.read_models.given_up import GivenUp
    from eventfold.read_models.parking import Parked

parked = typer.Typer(no_args_is_help=True, help="Streams that a projection can't go on with.")

Projection = Annotated[str | None, typer.Option(help="Only this projection's.")]


@parked.command("list")
def list_parked(context: typer.Context, *, projection: Projection = None, as_json: AsJson = False) -> None:
    """Show what is parked and why, and which batches Lambda gave up on. Exit code 1 if there is anything.

    Example: eventfold parked list --json
    """
    app = connect(context.obj)
    found = list(app.feed.waiting(projection))
    store = app.given_up
    batches = list(store.names()) if store and projection is None else []
    if not found:
        app.feed.check(projection)
    if as_json:
        print_json([*map(_as_dict, found), *({"batch": name} for name in batches)])
    elif found or batches:
        for one in found:
            since = one.since.isoformat(sep=" ", timespec="seconds")
            version = "an unknown version" if one.version is None else f"version {one.version}"
            where = f"[bold]{escape(one.projection)} {escape(one.stream)}[/] at {version}"
            console.print(f"{where}, since {since}, attempts: {one.attempts}")
            console.print(f"  {escape(one.reason)}")
        for name in batches:
            console.print(f"given up by Lambda, not yet redriven: {escape(name)}")
    else:
        console.print("[green]Nothing is parked.[/]")
    raise typer.Exit(1 if found or batches else 0)


@parked.command("redrive")
def redrive(
    context: typer.Context,
    *,
    projection: Projection = None,
    stream: Annotated[str | None, typer.Option(help="Only this stream.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay what is parked, and what Lambda gave up on, from the event table. Exit code 1 if anything stays.

    Example: eventfold parked redrive --stream user-42
    """
    app = connect(context.obj)
    store = app.given_up if projection is stream is None else None
    batches = recover(store, app.feed, unreadable=_say_why) if store else Recovered()
    done = app.feed.redrive(projection, stream)
    if as_json:
        print_json(dataclasses.asdict(done) | {"batches": batches.done, "given_up": batches.left})
    else:
        console.print(f"{done.redriven} redriven, {done.parked} still parked.")
        if batches.done or batches.left:
            console.print(f"{batches.done} batches that Lambda gave up on are redriven, {batches.left} stay.")
    raise typer.Exit(1 if done.parked or batches.left else 0)


def _say_why(batch: GivenUp) -> None:
    aside().print(f"{escape(batch.name)}: {batch.unreadable}")


def _as_dict(one: Parked) -> dict[str, object]:
    shown = dataclasses.asdict(one) | {"since": one.since.isoformat()}
    del shown["token"]
    return shown
