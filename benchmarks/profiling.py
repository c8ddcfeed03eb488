"""Where a worker's CPU goes, by part. Runs in the peer's environment: nothing but the standard library.

cProfile charges each Python call for being watched, and compiled code not at all: what is compiled is a little more
than it says.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

type Function = tuple[str, int, str]

PARTS = (
    ("benchmarks/peers/", "evolve, decide"),
    ("eventfold/", "eventfold"),
    ("pydantic", "JSON and models"),
    ("orjson", "JSON and models"),
    ("botocore/", "botocore"),
    ("urllib3/", "HTTP"),
    ("http/client.py", "HTTP"),
    ("email/", "HTTP"),
    ("socket.py", "HTTP"),
    ("ssl.py", "HTTP"),
)
"""How a module's path begins, from the folder that it is imported from."""
COMPILED = (
    ("_socket", "HTTP"),
    ("_ssl", "HTTP"),
    ("pydantic_core", "JSON and models"),
    ("orjson", "JSON and models"),
)
OTHER = "other"


def profile(run: Callable[[], object]) -> dict[str, float]:
    """Return each part's share of what a call costs, 1 in all."""
    watch = cProfile.Profile()
    watch.runcall(run)
    spent: defaultdict[str, float] = defaultdict(float)
    stats: dict[Function, tuple[int, int, float, float, dict[Function, tuple[int, int, float, float]]]]
    stats = pstats.Stats(watch).stats  # type: ignore[attr-defined] # in the documentation, not in its stubs
    for function, (_, _, seconds, _, callers) in stats.items():
        if part := _part(function):
            spent[part] += seconds
        else:  # A built-in, or a part of the standard library: whose it is, who calls it says.
            for caller, (_, _, its_seconds, _) in callers.items():
                spent[_part(caller) or OTHER] += its_seconds
    total = sum(spent.values())
    return {part: seconds / total for part, seconds in sorted(spent.items(), key=lambda one: -one[1])}


def _part(function: Function) -> str | None:
    file, _, name = function
    if file == "~":
        return next((part for sign, part in COMPILED if sign in name), None)
    module = _imported(file)
    return next((part for start, part in PARTS if module.startswith(start)), None)


def _imported(file: str) -> str:
    """Return a file's path from the folder of `sys.path` that holds it: where the checkout lies says nothing."""
    folders = [f"{folder.rstrip('/')}/" for folder in sys.path if folder and file.startswith(f"{folder.rstrip('/')}/")]
    return file.removeprefix(max(folders, key=len, default=""))
