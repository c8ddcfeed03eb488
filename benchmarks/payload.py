"""What every peer stores: the same event, about 300 bytes as JSON, and the same state folded from it.

Flat, of four fields; or nested, of ten, with decimals, times and a list of models, where the environment asks for it.
"""

from __future__ import annotations

import json
import os
from typing import Any

NESTED = "EVENTFOLD_BENCH_NESTED"
"""The variable."""
nested = bool(os.environ.get(NESTED))
NOTE = "Meets on Tuesdays; prefers letters to calls, and calls to mail. " * 3


def changed(number: int, *, deep: bool = nested) -> dict[str, Any]:
    """Return the fields of one event, as JSON has them; each differs from the one before."""
    flat = {"name": f"Ada Lovelace {number:06}", "email": f"ada.{number:06}@example.com", "note": NOTE, "n": number}
    if not deep:
        return flat
    lines = [{"article": f"article-{n}", "price": f"{n}.{number % 100:02}", "count": n + 1} for n in range(3)]
    return flat | {
        "note": NOTE[:65],
        "at": f"2026-01-{number % 28 + 1:02}T12:00:00Z",
        "total": f"{number}.50",
        "tags": ["regular", "letters"],
        "agreed": True,
        "address": {"street": "12 St James's Square", "city": "London", "code": "SW1Y 4JH"},
        "lines": lines,
    }


def payload_bytes(*, deep: bool) -> int:
    """Return how long one event is as JSON."""
    return len(json.dumps(changed(1, deep=deep), separators=(",", ":")))


def folded(version: int) -> tuple[int, str, int]:
    """Return what a state holds after so many events: its version, the last name, the sum of `n`."""
    return version, str(changed(version)["name"]), version * (version + 1) // 2
