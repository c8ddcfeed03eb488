"""`eventfold projection list|status|rebuild|promote|rollback|drop`."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfold.application.rebuilds import TABLE, begin, rebuild_of, sweep
from eventfold.cli.executions import MAP_WORKERS, execute
from eventfold.cli.options import AsJson, Rate, aside, console, print_json
from eventfold.cli.rebuilds import Plan, pause, run_phase
from eventfold.cli.target import connect, find
from eventfold.operations.rebuild.filling import summed
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from eventfold.operations.rebuild.steps import Rebuild
    from eventfold.read_models.generations import Control, Generation

projections = typer.Typer(no_args_is_help=True, help="Read models, and their generations.")

Name = Annotated[str, typer.Argument(help="The read model, as `eventfold projection list` names it.")]
AtOnce = Annotated[bool, typer.Option("--now", help="Don't wait for the last switch to settle: a row may go back.")]
_ENDED = {True: "shown.", False: "ready to be promoted."}
_SHOWN = {"active": "[green]active[/]", "dropping": "[dim]dropping[/]"}


@projections.command("list")
def list_projections(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show every read model with its generations.

    Example: eventfold projection list
    """
    app = connect(context.obj)
    controls = app.control_store.read([target.name for target in app.targets])
    if as_json:
        print_json([_as_dict(control) for control in controls.values()])
        return
    for control in controls.values():
        shown = (f"{one.number} {_SHOWN.get(one.status, one.status)}" for one in control.generations)
        console.print(f"[bold]{control.projection}[/]: {', '.join(shown)}")


@projections.command("status")
def status(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show a read model's generations, how far a rebuild is, and what is parked. Exit code 1 if anything is parked.

    Example: eventfold projection status directory
    """
    app = connect(context.obj)
    rebuild = rebuild_of(app, name, _owner())
    control = rebuild.control()
    waiting = list(app.feed.waiting(name))
    if as_json:
        found = [_progress(rebuild, one) for one in control.generations]
        print_json(_as_dict(control) | {"progress": found, "parked": len(waiting)})
        raise typer.Exit(1 if waiting else 0)
    for one in control.generations:
        since = "" if one.since.timestamp() == 0 else f" since {one.since:%Y-%m-%d %H:%M:%S} UTC"
        console.print(f"[bold]{name} {one.number}[/]: {_SHOWN.get(one.status, one.status)}{since}")
        for phase, done in _progress(rebuild, one).items():
            console.print(
                f"  {phase}: {done['parts']} of {one.parts} parts, {done['streams']:,} streams, "
                f"{done['events']:,} events, {done['redriven']:,} from the table, {done['wrong']:,} wrong"
            )
    if waiting:
        console.print(f"[red]{len(waiting)} streams are parked:[/] eventfold parked list --projection {name}")
    raise typer.Exit(1 if waiting else 0)


@projections.command("rebuild")
def rebuild(
    context: typer.Context,
    name: Name,
    *,
    segments: Annotated[int, typer.Option(min=1, max=1000, help="Parts that the event table is read in.")] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time, on this machine.")] = 2,
    rate: Rate = None,
    from_export: Annotated[
        str, typer.Option(help="A point-in-time export to read: a folder, or s3://bucket/prefix/AWSDynamoDB/ID.")
    ] = TABLE,
    here: Annotated[bool, typer.Option("--here", help="Read from this machine, and not by the state machine.")] = False,
    promote: Annotated[bool, typer.Option(help="Show it once every row is verified.")] = True,
    as_json: AsJson = False,
) -> None:
    """Build a read model anew while it is live, verify every row, and show it. Again after a crash, it goes on.

    Example: eventfold projection rebuild directory --rate 500
    """
    stack = find(context.obj)
    app, machine = stack.app, stack.state_machine
    to = aside()
    run = rebuild_of(app, name, _owner())
    if machine and not here:
        about = {"projection": name, "source": from_export, "segments": segments, "promote": promote}
        done = execute(machine, about | {"rate": (rate or 0) / MAP_WORKERS}, run, to)
        typer.echo(json.dumps(done) if as_json else f"{name} generation {done['generation']}: {_ENDED[promote]}")
        return
    plan = Plan(app, to, partial(connect, context.obj), workers, rate)
    generation = begin(app, run, from_export, segments)
    try:
        number = generation.number
        if generation.status == "filling":
            pause(run.pause(generation), "every function feeds it", to)
            filled = run_phase(plan, run, generation, "fill")
            to.print(f"[green]✓[/] generation {number}: {filled.streams:,} streams, {filled.events:,} events")
            generation = run.filled(number)
        pause(run.pause(generation), "every function feeds by it", to)
        run_phase(plan, run, generation, "verify")
        proven = run.verified(number, rate=rate)
        to.print(f"[green]✓[/] every row verified: {proven.streams:,}")
        for counter in proven.unjudged:
            to.print(f"[yellow]![/] moves too fast to be judged: {counter}")
        if promote:
            while (left := run.promote(number)) > 0:
                pause(left, "the last switch has settled", to)
    finally:
        run.release()
    if as_json:
        done = proven.model_dump(include={"streams", "events", "units", "redriven", "unjudged"})
        print_json(done | {"projection": name, "generation": number, "promoted": promote})
    elif promote:
        to.print(f"[green]✓[/] {name} shows generation {number}. Back: eventfold projection rollback {name}")
    else:
        to.print(f"[green]✓[/] {name} {number} is ready. Show it: eventfold projection promote {name}")


@projections.command("promote")
def promote(context: typer.Context, name: Name, *, at_once: AtOnce = False, as_json: AsJson = False) -> None:
    """Show the generation that is ready. Queries follow at once, lists within a second; nothing is deployed.

    Example: eventfold projection promote directory
    """
    app = connect(context.obj)
    run = rebuild_of(app, name, _owner())
    _switch(run, run.control().candidate("ready"), at_once=at_once, as_json=as_json)


@projections.command("rollback")
def rollback(context: typer.Context, name: Name, *, at_once: AtOnce = False, as_json: AsJson = False) -> None:
    """Show the generation that was active before: it is still kept current. Up to 65 s after a switch it waits.

    Example: eventfold projection rollback directory
    """
    app = connect(context.obj)
    run = rebuild_of(app, name, _owner())
    _switch(run, run.control().candidate("retired"), at_once=at_once, as_json=as_json)


@projections.command("drop")
def drop(
    context: typer.Context,
    name: Name,
    generation: Annotated[int, typer.Argument(help="Its number; not the active one's.")],
    *,
    rate: Rate = None,
    as_json: AsJson = False,
) -> None:
    """Stop feeding a generation, then delete its rows. Again after a crash, it goes on.

    Example: eventfold projection drop directory 1
    """
    app = connect(context.obj)
    to = aside()
    run = rebuild_of(app, name, _owner())
    pause(run.stop_feeding(generation), "nobody feeds or reads it", to)
    deleted = 0
    with to.status("Deleting ...") as shown:
        for deleted in run.drop(generation, lambda stored: sweep(app, stored, rate)):
            shown.update(f"Deleting: {deleted:,} rows ...")
    if as_json:
        print_json({"projection": name, "generation": generation, "deleted": deleted})
    else:
        console.print(f"{GenerationName(name, generation)} is gone: {deleted:,} rows deleted.")


def _switch(run: Rebuild, number: int, *, at_once: bool, as_json: bool) -> None:
    to = aside()
    pause(0 if at_once else run.settles_in(), "the last switch has settled", to)
    control = run.switch(number, at_once=at_once)
    if as_json:
        print_json(_as_dict(control))
    else:
        console.print(f"{run.name} shows generation {control.active}.")


def _progress(rebuild: Rebuild, generation: Generation) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for phase in ("fill", "verify"):
        if parts := rebuild.progress(generation, phase):
            total = summed(parts)
            found[phase] = {
                "parts": total.part,
                **total.model_dump(include={"streams", "events", "units", "redriven", "wrong", "findings"}),
            }
    return found


def _as_dict(control: Control) -> dict[str, Any]:
    return control.model_dump(mode="json", exclude={"revision"})


def _owner() -> str:
    return f"cli-{uuid.uuid4()}"
