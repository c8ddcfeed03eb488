"""What the verbs share: where they print, and the flags they all have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable

console = Console(soft_wrap=True, highlight=False, emoji=False)
"""For answers. What is said on the way goes to stderr, so that an answer can be piped on."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Stream = Annotated[str, typer.Argument(help="A stream's name: category-id.")]


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
