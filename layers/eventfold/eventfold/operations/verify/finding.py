"""What a check has found wrong."""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = "events"
"""Where a finding lies that is in the event table."""

CLAIMS = "claims"
"""Where a finding lies that is about unique keys."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: in which stream, at which version (None: in no one place of it), what, and where.

    `where` is `events`, `snapshot`, `claims`, or the stored name of a read model. What lies in no stream has an empty
    one. The words never quote what is stored, which may be personal.
    """

    stream: str
    version: int | None
    what: str
    where: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.stream, f"version {self.version}" if self.version else "") if part)
        return f"{self.where}: {place}: {self.what}" if place else f"{self.where}: {self.what}"
