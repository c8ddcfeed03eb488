"""What the verbs share: where they print, and the flags they all have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from eventfold.core.commit import category_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from eventfold import Decider
    from eventfold.application import Application

console = Console(soft_wrap=True, highlight=False, emoji=False)
"""For answers. What is said on the way goes to stderr, so that an answer can be piped on."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Rate = Annotated[float | None, typer.Option(min=1, help="Read units a second, in all; without it, as fast as it goes.")]
Stream = Annotated[str, typer.Argument(help="A stream's name: category-id.")]


class NotFoundError(Exception):
    """What the command line names is not there; the message says what is."""


class Interrupted(SystemExit):
    """Ctrl-C, on its way through every `finally` to the end of the program."""


def aside() -> Console:
    """Return where progress and remarks go."""
    return Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_lines(values: Iterable[Any]) -> None:
    """Print a JSON value a line, as they come."""
    for value in values:
        print_json(value)


def moment(at: datetime) -> str:
    """Return a time as answers show it: UTC, to the millisecond."""
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03}"


def decider_of(app: Application, stream: str) -> Decider[Any, Any, Any]:
    """Return the aggregate that a stream belongs to.

    Raises:
        NotFoundError: the code has none of its category.
    """
    decider = app.deciders.get(category_of(stream))
    if decider is None:
        names = ", ".join(sorted(app.deciders))
        raise NotFoundError(f"There is no aggregate {category_of(stream)!r}; there are: {names}.")
    return decider
