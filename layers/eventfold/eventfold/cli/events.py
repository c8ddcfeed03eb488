"""`eventfold events tail`."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer
from rich.markup import escape

from eventfold.cli.options import AsJson, Interrupted, NotFoundError, aside, console, moment, print_json
from eventfold.cli.target import connect
from eventfold.core.commit import category_of
from eventfold.dynamodb.tailing import StreamTail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold import Commit
    from eventfold.application import Application

events = typer.Typer(no_args_is_help=True, help="Events as they come.")

POLL_SECONDS = 1.0


@events.callback()
def group() -> None:
    """Keep `tail` a verb of its own."""


@events.command("tail")
def tail(
    context: typer.Context,
    *,
    category: Annotated[str | None, typer.Option(help="Only of streams of this category.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show events as they are committed, from now on, until Ctrl-C. With --json, one a line.

    It is one more reader of the table's stream, which has room for two functions a shard: where lag matters, be brief.

    Example: eventfold events tail --category user
    """
    source = _tail(connect(context.obj))
    if not as_json:
        aside().print("Waiting for events; Ctrl-C ends.")
    shown = 0
    with suppress(Interrupted):
        while limit is None or shown < limit:
            for commit in source.poll():
                for one in _events(commit) if category in {None, category_of(commit.stream)} else ():
                    if limit is None or shown < limit:
                        _show(one, commit, as_json=as_json)
                        shown += 1
            if limit is None or shown < limit:
                time.sleep(POLL_SECONDS)


def _tail(app: Application) -> StreamTail:
    table = app.dynamodb.describe_table(TableName=app.settings.events_table)["Table"]
    if "LatestStreamArn" not in table:
        raise NotFoundError("The event table has no stream. `eventfold doctor` says what else is not as it should be.")
    client = boto3.client("dynamodbstreams", endpoint_url=app.settings.aws_endpoint_url)
    return StreamTail(client, table["LatestStreamArn"])


def _events(commit: Commit) -> Iterator[dict[str, Any]]:
    for version, event in enumerate(commit.events, start=commit.version):
        actor, at = commit.meta.get("actor"), commit.at.isoformat()
        yield {
            "stream": commit.stream,
            "version": version,
            "at": at,
            **event,
            "actor": actor,
            "commit": commit.public_id,
        }


def _show(one: dict[str, Any], commit: Commit, *, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    actor = f" by {one['actor']}" if one["actor"] else ""
    place = f"[bold]{escape(commit.stream)}[/] {one['version']}"
    console.print(f"{moment(commit.at)}  {place}  {escape(one['type'])} v{one['v']}{escape(actor)}")
