"""What is kept of generations and rebuilds, in memory."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from eventfold.read_models.generations import Control
from eventfold.read_models.projections import RowConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventfold.operations.rebuild.progress import Phase, Progress

_NOBODY: tuple[str, float, str | None] = ("", -1.0, None)
"""Who holds a rebuild that nobody does: the owner, until when, and why it was released."""


class MemoryControlStore:
    """Keeps the contracts of `ControlStore` and `ProgressStore` without durability."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._controls: dict[str, Control] = {}
        self._progress: dict[tuple[str, Phase, int], Progress] = {}
        self._pages: dict[tuple[str, Phase, int, str], bytes] = {}
        self._holds: dict[str, tuple[str, float, str | None]] = {}
        self._clock = clock
        self._lock = Lock()

    def read(self, projections: Sequence[str]) -> dict[str, Control]:
        """See `ControlStore.read`."""
        return {name: self._controls.get(name) or Control.first(name) for name in projections}

    def write(self, control: Control, *, unparked: bool = False) -> Control:
        """See `ControlStore.write`."""
        with self._lock:
            there = self._controls.get(control.projection)
            written = control.model_copy(update={"revision": control.revision + 1})
            if there and there.model_copy(update={"parkings": written.parkings}) == written:
                return written
            changed = (there.revision if there else 0) != control.revision
            if changed or (unparked and there and there.parkings != control.parkings):
                raise RowConflictError(f"the control item of {control.projection} was changed in between")
            self._controls[control.projection] = written
            return written

    def count_parking(self, projection: str) -> None:
        """See `ControlStore.count_parking`."""
        with self._lock:
            if there := self._controls.get(projection):
                self._controls[projection] = there.model_copy(update={"parkings": there.parkings + 1})

    def progress(self, stored: str, phase: Phase, parts: Sequence[int]) -> dict[int, Progress]:
        """See `ProgressStore.progress`."""
        return {part: found for part in parts if (found := self._progress.get((stored, phase, part))) is not None}

    def save_progress(self, stored: str, phase: Phase, progress: Progress) -> Progress:
        """See `ProgressStore.save_progress`."""
        key = (stored, phase, progress.part)
        with self._lock:
            there = self._progress.get(key)
            written = progress.model_copy(update={"revision": progress.revision + 1})
            if (there.revision if there else 0) != progress.revision and not (there and there.run == progress.run):
                raise RowConflictError(f"the progress of {stored} was changed in between")
            self._progress[key] = written
            return written

    def save_page(self, stored: str, phase: Phase, part: int, name: str, content: bytes) -> None:
        """See `ProgressStore.save_page`."""
        self._pages[stored, phase, part, name] = content

    def pages(self, stored: str, phase: Phase, part: int, names: Sequence[str]) -> Iterator[bytes]:
        """See `ProgressStore.pages`."""
        return (page for name in names if (page := self._pages.get((stored, phase, part, name))) is not None)

    def forget_progress(self, stored: str, parts: Sequence[int]) -> None:
        """See `ProgressStore.forget_progress`."""
        for key in [key for key in self._progress if key[0] == stored and key[2] in parts]:
            del self._progress[key]
        for page in [page for page in self._pages if page[0] == stored and page[2] in parts]:
            del self._pages[page]

    def hold(self, projection: str, owner: str, seconds: float, *, on: bool = False) -> float:
        """See `ProgressStore.hold`."""
        with self._lock:
            holder, until, failure = self._holds.get(projection, _NOBODY)
            mine = holder == owner and not (on and failure is not None)
            if not mine and (on or until >= self._clock()):
                return max(until - self._clock(), 0.001)
            self._holds[projection] = (owner, self._clock() + seconds, None)
            return 0

    def release(self, projection: str, owner: str, reason: str = "") -> None:
        """See `ProgressStore.release`."""
        with self._lock:
            holder, _, failure = self._holds.get(projection, _NOBODY)
            if holder == owner and failure is None:
                self._holds[projection] = (owner, -1.0, reason)

    def failure(self, projection: str, owner: str) -> str:
        """See `ProgressStore.failure`."""
        holder, _, failure = self._holds.get(projection, _NOBODY)
        return failure or "" if holder == owner else ""
