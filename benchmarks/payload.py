"""What every peer stores: the same event, about 300 bytes as JSON, and the same state folded from it."""

from __future__ import annotations

import json

NOTE = "Meets on Tuesdays; prefers letters to calls, and calls to mail. " * 3


def changed(number: int) -> dict[str, str | int]:
    """Return the fields of one event; each differs from the one before."""
    return {"name": f"Ada Lovelace {number:06}", "email": f"ada.{number:06}@example.com", "note": NOTE, "n": number}


def payload_bytes() -> int:
    """Return how long one event is as JSON."""
    return len(json.dumps(changed(1), separators=(",", ":")))


def folded(version: int) -> tuple[int, str, int]:
    """Return what a state holds after so many events: its version, the last name, the sum of `n`."""
    return version, str(changed(version)["name"]), version * (version + 1) // 2
