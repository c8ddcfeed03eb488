"""How far a rebuild has come, kept where another process can go on from it, and who holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel

from eventfold.operations.scanning import Place  # noqa: TC001 - pydantic reads the annotation at run time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

type Phase = Literal["fill", "verify"]

PHASES: tuple[Phase, ...] = ("fill", "verify")

SHOWN_FINDINGS = 20
"""How many of a part's findings are kept in words; all are counted."""


class Progress(BaseModel, frozen=True):
    """How far one part of the events is read, in one phase: every stream up to `place` is dealt with.

    `units` are the read units its scan has cost, `redriven` the streams brought to their end from the table by
    themselves, `wrong` those whose row is not what their events make. `pages` says where the recount of a tally lies:
    how many pages of each batch. `unjudged` are the counters that moved too fast to be judged. `revision` counts how
    often it was saved, and `run` is the worker's that saved it last.
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
    pages: dict[str, int] = {}
    unjudged: tuple[str, ...] = ()
    done: bool = False
    revision: int = 0
    run: str = ""

    @property
    def page_names(self) -> list[str]:
        """The names of all pages."""
        return [f"{batch}-{number}" for batch, count in self.pages.items() for number in range(count)]

    def found(self, finding: str) -> Progress:
        """Count a stream that is wrong, and keep why."""
        return self.model_copy(update={"wrong": self.wrong + 1, "findings": (*self.findings, finding)[:SHOWN_FINDINGS]})


class ProgressStore(Protocol):
    """The port that a rebuild's progress is kept behind, by the stored name of the generation it fills."""

    def progress(self, stored: str, phase: Phase, parts: Sequence[int]) -> dict[int, Progress]:
        """Return how far these parts are; one that has not begun is left out."""
        ...

    def save_progress(self, stored: str, phase: Phase, progress: Progress) -> Progress:
        """Keep how far a part is, in the place of what has this one's revision, or its run; return it with the next.

        A run may find what it has saved itself, and lost the answer to.

        Raises:
            RowConflictError: somebody else works on this part.
        """
        ...

    def save_page(self, stored: str, phase: Phase, part: int, name: str, content: bytes) -> None:
        """Keep some of what a part has found; it counts once the progress says so."""
        ...

    def pages(self, stored: str, phase: Phase, part: int, names: Sequence[str]) -> Iterator[bytes]:
        """Yield these pages; one that is not there is left out."""
        ...

    def forget_progress(self, stored: str, parts: Sequence[int]) -> None:
        """Forget both phases of these parts, with their pages."""
        ...

    def hold(self, projection: str, owner: str, seconds: float, *, on: bool = False) -> float:
        """Hold a read model's rebuild for so many seconds from now. Return 0, or how long another still holds it.

        Again holds it on, and so does one whose answer was lost. With `on` it does nothing else: it is refused, with
        more than 0, once the hold was released.
        """
        ...

    def release(self, projection: str, owner: str, reason: str = "") -> None:
        """End the hold, if it is this owner's and not released yet. `reason` says why, where the rebuild has failed."""
        ...

    def failure(self, projection: str, owner: str) -> str:
        """Return why this owner has released its hold: empty where it has not failed, or others have begun since."""
        ...
