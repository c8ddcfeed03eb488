"""How far a rebuild has come, kept where another process can go on from it, and who holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel

from eventfold.operations.scanning import Place  # noqa: TC001 - pydantic reads the annotation at run time

if TYPE_CHECKING:
    from collections.abc import Sequence

type Phase = Literal["fill", "verify"]

SHOWN_FINDINGS = 20
"""How many of a part's findings are kept in words; all are counted."""


class Progress(BaseModel, frozen=True):
    """How far one part of the events is read, in one phase: every stream up to `place` is dealt with.

    `units` are the read units its scan has cost, `redriven` the streams brought to their end from the table by
    themselves, `wrong` those whose row is not what their events make. `counts` is what a tally's events add up to.
    """

    part: int
    place: Place | None = None
    items: int = 0
    streams: int = 0
    events: int = 0
    units: float = 0
    redriven: int = 0
    wrong: int = 0
    findings: tuple[str, ...] = ()
    counts: dict[str, dict[str, int]] = {}
    done: bool = False

    def found(self, finding: str) -> Progress:
        """Count a stream that is wrong, and keep why."""
        return self.model_copy(update={"wrong": self.wrong + 1, "findings": (*self.findings, finding)[:SHOWN_FINDINGS]})


class ProgressStore(Protocol):
    """The port that a rebuild's progress is kept behind, by the stored name of the generation it fills."""

    def progress(self, stored: str, phase: Phase, parts: Sequence[int]) -> dict[int, Progress]:
        """Return how far these parts are; one that has not begun is left out."""
        ...

    def save_progress(self, stored: str, phase: Phase, progress: Progress) -> None:
        """Keep how far a part is."""
        ...

    def forget_progress(self, stored: str, parts: Sequence[int]) -> None:
        """Forget both phases of these parts."""
        ...

    def hold(self, projection: str, owner: str, seconds: float) -> float:
        """Hold a read model's rebuild for so many seconds from now. Return 0, or how long another still holds it."""
        ...

    def release(self, projection: str, owner: str) -> None:
        """End the hold, if it is this owner's."""
        ...
