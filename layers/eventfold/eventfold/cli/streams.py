"""`eventfold stream list|show|state|diff`."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from eventfold import Commit, load, load_at, load_version
from eventfold.aggregates.history import page_of
from eventfold.cli.options import AsJson, NotFoundError, Stream, console, decider_of, moment, print_json
from eventfold.cli.target import connect
from eventfold.core.commit import category_of
from eventfold.operations.reading import SteadyPages, TableSource
from eventfold.operations.scanning import by_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold import Loaded
    from eventfold.application import Application

streams = typer.Typer(no_args_is_help=True, help="What lies in the event table, stream by stream.")

Limit = Annotated[int, typer.Option(min=1, help="So many at the most.")]


@streams.command("list")
def list_streams(
    context: typer.Context,
    *,
    category: Annotated[str | None, typer.Option(help="Only streams of this category.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show streams with their version and the time of the last commit, in no order. Reads the table until it has them.

    Example: eventfold stream list --category user --limit 20
    """
    app = connect(context.obj)
    found = list(islice(_ends(app, category), limit))
    if as_json:
        print_json([{"stream": one.stream, "version": one.last_version, "at": one.at.isoformat()} for one in found])
        return
    for one in found:
        console.print(f"[bold]{escape(one.stream)}[/] at version {one.last_version}, {moment(one.at)}")
    if not found:
        console.print("There are none.")


@streams.command("show")
def show(
    context: typer.Context,
    stream: Stream,
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this version.")] = 0,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show a stream's events as they are stored: version, time, type, actor, data.

    Example: eventfold stream show user-42 --after 10
    """
    app = connect(context.obj)
    found = list(islice(_stored_events(app, stream, after, page_of(limit)), limit))
    if not found and after == 0:
        raise NotFoundError(f"There is no stream {stream!r}.")
    if as_json:
        print_json(found)
        return
    for one in found:
        actor = f" by {one['actor']}" if one["actor"] else ""
        at = moment(datetime.fromisoformat(one["at"]))
        console.print(f"[bold]{one['version']:>6}[/]  {at}  {escape(one['type'])} v{one['v']}{escape(actor)}")
        console.print(f"        [dim]{escape(str(one['data']))}[/]")


@streams.command("state")
def state(
    context: typer.Context,
    stream: Stream,
    *,
    version: Annotated[int | None, typer.Option(min=1, help="As it was right after this version.")] = None,
    at: Annotated[str | None, typer.Option(help="As it was then: 2026-01-31T12:00:00, in UTC unless it says.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show an aggregate's state, replayed from its events: now, at a version, or at a time.

    Example: eventfold stream state user-42 --version 3
    """
    if version is not None and at is not None:
        raise typer.BadParameter("--version and --at exclude each other.")
    moment_ = _parsed(at)
    loaded = _loaded(connect(context.obj), stream, version, moment_)
    fields = loaded.state.model_dump(mode="json")
    if as_json:
        when = loaded.at.isoformat() if loaded.at else None
        print_json({"stream": stream, "version": loaded.version, "at": when, "state": fields})
        return
    console.print(f"[bold]{escape(stream)}[/] at version {loaded.version}, {moment(loaded.at) if loaded.at else ''}")
    for name, value in fields.items():
        console.print(f"  {escape(name)}: {escape(repr(value))}")


@streams.command("diff")
def diff(
    context: typer.Context,
    stream: Stream,
    first: Annotated[int, typer.Argument(min=0, help="A version; 0 is before the first event.")],
    second: Annotated[int, typer.Argument(min=0, help="Another version.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show which fields of the state differ between two versions. Exit code 1 if any does.

    Example: eventfold stream diff user-42 1 3
    """
    app = connect(context.obj)
    before, after = (
        _flat(_loaded(app, stream, version, None).state.model_dump(mode="json")) for version in (first, second)
    )
    changed = {
        name: (before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    }
    if as_json:
        print_json({name: {"before": one, "after": other} for name, (one, other) in changed.items()})
    else:
        for name, (one, other) in changed.items():
            console.print(f"[bold]{escape(name)}[/]: [red]{escape(repr(one))}[/] -> [green]{escape(repr(other))}[/]")
        if not changed:
            console.print("No difference.")
    raise typer.Exit(1 if changed else 0)


def _ends(app: Application, category: str | None) -> Iterator[Commit]:
    """Yield the last commit of each stream, as a scan sees it."""
    pages = SteadyPages(TableSource(app.scannable_store, 1), 0, None, rate=None, beat=lambda: False)
    for stream, items in by_stream(pages):
        last = None
        for item in items:
            last = item if isinstance(item, Commit) else last
        if last is not None and category in {None, category_of(stream)}:
            yield last


def _stored_events(app: Application, stream: str, after: int, page_size: int) -> Iterator[dict[str, Any]]:
    """Yield the events behind a version as they are stored, known to the code or not."""
    for commit in app.scannable_store.oldest_first(stream, after=_start(app, stream, after), page_size=page_size):
        actor, at = commit.meta.get("actor"), commit.at.isoformat()
        for version, event in enumerate(commit.events, start=commit.version):
            if version > after:
                yield {"version": version, "at": at, **event, "actor": actor, "commit": commit.public_id}


def _start(app: Application, stream: str, after: int) -> int:
    """Return the version behind which the commit begins that holds what follows `after`."""
    if after == 0:
        return 0
    around = app.scannable_store.newest_first(stream, upto=after + 1, page_size=2)
    return next((item.version - 1 for item in around if isinstance(item, Commit)), after)


def _loaded(app: Application, stream: str, version: int | None, at: datetime | None) -> Loaded[Any]:
    decider = decider_of(app, stream)
    if at is not None:
        loaded = load_at(app.scannable_store, decider, stream, at)
    elif version is not None:
        loaded = load_version(app.scannable_store, decider, stream, version)
    else:
        loaded = load(app.scannable_store, decider, stream)
    if loaded.version == 0 and version != 0:
        raise NotFoundError(f"There is no stream {stream!r}{' at that time' if at else ''}.")
    if version is not None and loaded.version < version:
        raise NotFoundError(f"Stream {stream!r} ends at version {loaded.version}.")
    return loaded


def _parsed(at: str | None) -> datetime | None:
    if at is None:
        return None
    try:
        parsed = datetime.fromisoformat(at)
    except ValueError as error:
        raise typer.BadParameter(f"{at!r} is no time: write 2026-01-31T12:00:00") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return a state's fields by path: what is nested under its parents' names."""
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {path: leaf for key, one in value.items() for path, leaf in _flat(one, f"{name}.{key}".strip(".")).items()}
