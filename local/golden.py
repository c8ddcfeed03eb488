"""`make golden`: writes the golden files that are missing, of every aggregate, from the examples beside them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from app import main
from eventfold.testing.golden import write_golden
from local.toolchain import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from eventfold.core.upcasting import Data, Key

GOLDEN = ROOT / "tests" / "golden"
EXAMPLES = "examples.json"
"""An example of each event's data, by name and version: `{"UserCreated.v2": {"name": "Ada"}}`."""


def examples(folder: Path) -> dict[Key, Data]:
    """Return the examples in an aggregate's folder."""
    file = folder / EXAMPLES
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    named = {tuple(name.rsplit(".v", 1)): data for name, data in found.items()}
    return {(name, int(version)): data for (name, version), data in named.items()}


def write() -> int:
    """Write what is missing; 1 if there is no example of an event."""
    written = []
    for category, decider in main.application.deciders.items():
        folder = GOLDEN / category
        try:
            written += write_golden(decider, folder, examples(folder))
        except KeyError as error:
            name, version = error.args[0]
            place = (folder / EXAMPLES).relative_to(ROOT)
            print(f"✗ {place} has no example of {name}.v{version}: add its data there, and run this again.")
            return 1
    for file in written:
        print(f"✓ {file.relative_to(ROOT)}")
    print("Commit them." if written else "Nothing is missing.")
    return 0


if __name__ == "__main__":
    sys.exit(write())
