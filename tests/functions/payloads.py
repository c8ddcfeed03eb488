"""The payloads for `sam local invoke` in events/: a folder for each function, a file for each case."""

from __future__ import annotations

import json
from typing import Any

from tests.support import ROOT

EVENTS = ROOT / "events"
PAYLOADS = sorted(str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.rglob("*.json"))
REQUESTS = [name for name in PAYLOADS if name.startswith(("commands/", "queries/"))]
REDRIVES = [name for name in PAYLOADS if name.startswith("redrive/")]
BATCHES = [name for name in PAYLOADS if name not in [*REQUESTS, *REDRIVES]]


def payload(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return parsed
