"""`eventfold snapshot take|list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from eventfold import Snapshot
from eventfold.cli.options import AsJson, NotFoundError, Stream, aside, console, decider_of, moment, print_json
from eventfold.cli.target import connect
from eventfold.core.errors import InvalidCommitError
from eventfold.core.store import end_of
from eventfold.operations.reading import SteadyPages, TableSource
from eventfold.operations.snapshots import VOID, Retake, to_retake
from eventfold.operations.verify.finding import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventfold.application import Application

snapshots = typer.Typer(no_args_is_help=True, help="States kept beside their events, to replay less.")


@snapshots.command("take")
def take(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="A stream's name: category-id.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Of each stream that lacks one or has a wrong one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a stream from its first event, replace snapshots that differ, and take one of it as it is now.

    With --all, each stream for which a snapshot is due or wrong: after `state_version` was raised, say. A stream that
    can't be replayed is told of and passed over. Exit code 1 if there is any.

    Example: eventfold snapshot take user-42
    """
    if (stream is None) is not all_:
        raise typer.BadParameter("Name a stream, or say --all.")
    app = connect(context.obj)
    if stream is not None:
        _check_exists(app, stream)
    written, failed = _retake(app, [stream] if stream is not None else _all_to_retake(app))
    if as_json:
        print_json([{"stream": one.stream, "version": one.version} for one in written])
    elif stream is None:
        console.print(f"{len(written):,} taken.")
    else:
        for one in written:
            said = "made void, as no commit ends there" if one.schema == VOID else "taken"
            console.print(f"[bold]{escape(stream)}[/] at version {one.version}: {said}")
        if not written and not failed:
            console.print(f"[bold]{escape(stream)}[/] has one of its last version, and all are right.")
    raise typer.Exit(1 if failed else 0)


@snapshots.command("list")
def list_snapshots(context: typer.Context, stream: Stream, *, as_json: AsJson = False) -> None:
    """Show a stream's snapshots, and whether a load uses them: one of another schema is ignored.

    Example: eventfold snapshot list user-42
    """
    app = connect(context.obj)
    schema = decider_of(app, stream).schema
    found = [item for item in app.scannable_store.items(stream) if isinstance(item, Snapshot)]
    if not found:
        _check_exists(app, stream)
    if as_json:
        print_json(
            [
                {"version": one.version, "at": one.at.isoformat(), "schema": one.schema, "used": one.schema == schema}
                for one in found
            ]
        )
        return
    for one in found:
        used = "[green]used[/]" if one.schema == schema else "[dim]of another schema: ignored[/]"
        console.print(f"version {one.version}, {moment(one.at)}, {len(one.state.encode()):,} bytes, {used}")
    if not found:
        console.print("It has none.")


def _check_exists(app: Application, stream: str) -> None:
    decider_of(app, stream)
    if end_of(app.scannable_store, stream).version == 0:
        raise NotFoundError(f"There is no stream {stream!r}.")


def _all_to_retake(app: Application) -> Iterable[str]:
    pages = SteadyPages(TableSource(app.scannable_store, 1), 0, None, rate=None, beat=lambda: False)
    return to_retake(pages, app.deciders)


def _retake(app: Application, streams: Iterable[str]) -> tuple[list[Snapshot], int]:
    """Put these streams' snapshots right; return what was written, and how many streams could not be done."""
    written: list[Snapshot] = []
    failed = 0
    to = aside()
    with to.status("Taking snapshots ...") as shown:
        for stream in streams:
            one = Retake(app.scannable_store, app.deciders, stream)
            try:
                one.run()
                why = next((str(found) for found in one.check.findings if found.where == EVENTS), "")
            except InvalidCommitError as error:
                why = f"{stream}: {error}"
            if why:
                failed += 1
                to.print(f"[red]✗[/] {escape(why)}")
            written += one.written
            shown.update(f"Taking snapshots: {len(written):,} ...")
    return written, failed
