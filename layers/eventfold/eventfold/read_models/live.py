"""Generations as one process knows them: which are fed, which one is read, and how old that knowledge may be."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventfold.read_models.generations import CONTROL_SECONDS, LIST_SECONDS
from eventfold.read_models.parking import all_generations
from eventfold.read_models.target import GenerationName, OrderChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.read_models.generations import Control, ControlStore
    from eventfold.read_models.target import AnyTarget


@dataclass(frozen=True, slots=True)
class Live:
    """A read model's generations that are fed, in their order: the active one last."""

    targets: tuple[AnyTarget, ...]

    @property
    def active(self) -> AnyTarget:
        """The generation that queries read."""
        return self.targets[-1]

    @property
    def read_model(self) -> str:
        """The read model's name."""
        return self.active.generation.read_model

    @property
    def names(self) -> set[str]:
        """The names that its streams are parked under."""
        return {all_generations(self.read_model), *(target.name for target in self.targets)}


class Generations:
    """Which generations there are, as this process knows. Safe for threads.

    Age is measured by two clocks, and the greater one counts: nobody promises that the monotonic clock goes on while
    Lambda has frozen the process, or that the other one is never set back.
    """

    def __init__(
        self,
        store: ControlStore,
        projections: Sequence[str],
        *,
        keep: float = CONTROL_SECONDS,
        clocks: Sequence[Callable[[], float]] = (time.monotonic, time.time),
    ) -> None:
        self._store = store
        self._projections = tuple(projections)
        self._keep = keep
        self._clocks = clocks
        self._known: tuple[list[float], Mapping[str, Control]] | None = None

    def controls(self, max_age: float | None = None) -> Mapping[str, Control]:
        """Return the control items, at most so many seconds old. One request where they are older.

        Raises:
            StoreUnavailableError: they can't be read.
        """
        keep = self._keep if max_age is None else max_age
        now, known = [clock() for clock in self._clocks], self._known
        if known is None or not all(0 <= late - early < keep for late, early in zip(now, known[0], strict=True)):
            # Not under a lock: two threads that read at the same time cost a request, and none waits for another's.
            known = self._known = (now, self._store.read(self._projections))
        return known[1]

    def shown(self, projection: str) -> str:
        """Return the stored name of the generation that lists are read from."""
        control = self.controls(LIST_SECONDS)[projection]
        return str(GenerationName(projection, control.active))

    def live(self, targets: Iterable[AnyTarget], max_age: float | None = None) -> list[Live]:
        """Return each read model's generations that are fed, by control items at most so many seconds old.

        Raises:
            StoreUnavailableError: they can't be read.
        """
        controls = self.controls(max_age)
        return [Live(tuple(target.at(one.number) for one in controls[target.name].live)) for target in targets]

    def count_parking(self, projection: str) -> None:
        """See `ControlStore.count_parking`."""
        self._store.count_parking(projection)

    def confirm(self, live: Live) -> None:
        """Refuse an order that no longer holds, by a control item that is at most `CONTROL_SECONDS` old.

        Raises:
            OrderChangedError: a generation was begun, promoted or dropped since.
        """
        now = [one.number for one in self.controls()[live.read_model].live]
        if now != [target.generation.number for target in live.targets]:
            raise OrderChangedError(f"the generations of {live.read_model} are fed in another order now")


class ActiveReader:
    """Reads from the active generation in one request: from the one it last knew, and again if that was another."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def read[T](self, projection: str, read: Callable[[str], tuple[int, T]]) -> T:
        """Return what `read` finds under the active generation's stored name.

        `read(stored name)` returns the active generation by a control item read in the same request, and what it found.
        """
        while True:
            known = self._known.get(projection, 1)
            active, found = read(str(GenerationName(projection, known)))
            if active == known:
                return found
            self._known[projection] = active
