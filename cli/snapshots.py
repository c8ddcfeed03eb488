"""`eventfold snapshot take|list`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from app.wiring import DECIDERS, scannable_store
from cli.options import AsJson, NotFoundError, Stream, aside, console, decider_of, moment, print_json
from cli.target import connect
from eventfold import Commit, Snapshot
from eventfold.aggregates.snapshots import take_snapshot
from eventfold.core.commit import category_of
from eventfold.core.errors import ItemTooLargeError, UnreadableStreamError
from eventfold.core.store import end_of
from eventfold.operations.reading import SteadyPages, TableSource
from eventfold.operations.scanning import by_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

snapshots = typer.Typer(no_args_is_help=True, help="States kept beside their events, to replay less.")


@dataclass(frozen=True)
class Due:
    """A stream whose newest usable snapshot is older than the commit, up to `version`, that asked for one."""

    stream: str
    version: int


@snapshots.command("take")
def take(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="A stream's name: category-id.")] = None,
    *,
    all_due: Annotated[bool, typer.Option("--all-due", help="Of each stream that lacks one it should have.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot of a stream as it is now, or of all that lack one: after a change of a state's schema, say.

    Of all, a stream that can't be replayed is told of and passed over. Exit code 1 if there is any.

    Example: eventfold snapshot take user-42
    """
    if (stream is None) is not all_due:
        raise typer.BadParameter("Name a stream, or say --all-due.")
    connect(context.obj)
    if stream is not None:
        _take_one(_now(stream), as_json=as_json)
        return
    taken, failed = _take_all()
    if as_json:
        print_json([{"stream": one.stream, "version": one.version} for one in taken])
    else:
        console.print(f"{len(taken):,} taken.")
    raise typer.Exit(1 if failed else 0)


@snapshots.command("list")
def list_snapshots(context: typer.Context, stream: Stream, *, as_json: AsJson = False) -> None:
    """Show a stream's snapshots, and whether a load uses them: one of another schema is ignored.

    Example: eventfold snapshot list user-42
    """
    connect(context.obj)
    schema = decider_of(stream).schema
    found = [item for item in scannable_store().items(stream) if isinstance(item, Snapshot)]
    if not found and end_of(scannable_store(), stream).version == 0:
        raise NotFoundError(f"There is no stream {stream!r}.")
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


def _take_one(due: Due, *, as_json: bool) -> None:
    made = take_snapshot(scannable_store(), decider_of(due.stream), due.stream, due.version)
    if as_json:
        print_json([{"stream": made.stream, "version": made.version}] if made else [])
    else:
        where = f"[bold]{escape(due.stream)}[/]"
        console.print(f"{where} at version {made.version}" if made else f"{where} has one of its last version.")


def _take_all() -> tuple[list[Snapshot], int]:
    """Take what is due; return it, and how many streams could not be replayed."""
    taken: list[Snapshot] = []
    failed = 0
    to = aside()
    with to.status("Taking snapshots ...") as shown:
        for one in _due():
            try:
                made = take_snapshot(scannable_store(), decider_of(one.stream), one.stream, one.version)
            except (UnreadableStreamError, ItemTooLargeError) as error:
                failed += 1
                to.print(f"[red]✗[/] {escape(str(error))}")
                continue
            if made:
                taken.append(made)
                shown.update(f"Taking snapshots: {len(taken):,} ...")
    return taken, failed


def _now(stream: str) -> Due:
    end = end_of(scannable_store(), stream).version
    if end == 0:
        raise NotFoundError(f"There is no stream {stream!r}.")
    return Due(stream, end)


def _due() -> Iterator[Due]:
    """Yield the streams with a commit that asked for a snapshot, and no usable one from there on."""
    pages = SteadyPages(TableSource(scannable_store(), 1), 0, None, rate=None, beat=lambda: False)
    for stream, items in by_stream(pages):
        decider = DECIDERS.get(category_of(stream))
        due = newest = 0
        for item in items:
            if isinstance(item, Commit) and item.snapshot_due:
                due = item.last_version
            elif isinstance(item, Snapshot) and decider is not None and item.schema == decider.schema:
                newest = item.version
        if decider is not None and newest < due:
            yield Due(stream, due)
