"""Generations of read models: one is shown, others are filled beside it or kept to go back to.

A control item for each read model says which generations there are and which one queries read. One conditional write
of that item is the whole switch; nothing is deployed.

Why no reader goes back in time:

1. The feed brings every other generation up to date before the active one (`Control.live`), stream by stream within
   one batch. So whatever row a reader has seen in the active generation, each generation that can be promoted had seen
   as much of that stream before. A gap is healed from the event table, which may have more by the time that the active
   one is fed: it goes exactly as far as the others went in the same batch (`lowest`). A batch that can't reach such a
   generation leaves the active one alone, and comes again.
2. A generation is promoted only once every stream in it, and in the one to go back to, was seen at the same version by
   consistent reads, and while none of its streams is parked.
3. A query reads the control item and the row consistently, in one request, and takes the row only if it is the active
   generation's (`ActiveReader`). A query that begins after another has answered sees the same control item or a later.
4. A process may work by a control item that is `SETTLE_SECONDS` old, and would still feed in the order of before the
   last switch. So the next switch waits that long.

A list is read from an index that follows the table by itself, and makes no such promise, with generations or without.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from pydantic import AwareDatetime, BaseModel

from eventfold.core.errors import RebuildRefusedError
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.read_models.target import AnyTarget

CONTROL_SECONDS = 5.0
"""How long a process keeps control items. A rebuild scans only what was committed before it had begun for so long."""

SETTLE_SECONDS = 65.0
"""How old the control item may be that a process still works by: `CONTROL_SECONDS`, and the longest invocation."""

LIST_SECONDS = 1.0
"""How long lists stay with a generation after a switch."""

type Status = Literal["filling", "verifying", "ready", "active", "retired", "dropping"]
"""`filling` and `verifying` are a rebuild's; `ready` and `retired` can be promoted; `dropping` is no longer fed."""


def control_key(projection: str) -> str:
    """Return the key of a read model's control item. Rows have a `#` or an `@` in theirs, and names have no `!`."""
    return f"{projection}!"


class Generation(BaseModel, frozen=True):
    """One of a read model's generations. `since` is when it got its status, in UTC.

    `begun` is when the feed was told of it, `source` what it is filled from, in `parts`.
    """

    number: int
    status: Status
    since: AwareDatetime
    begun: AwareDatetime
    source: str = "table"
    parts: int = 0


class Control(BaseModel, frozen=True):
    """A read model's generations. `newest` is the highest number ever given; `revision` counts the item's writes."""

    projection: str
    active: int = 1
    newest: int = 1
    generations: tuple[Generation, ...]
    switched: AwareDatetime | None = None
    revision: int = 0

    @classmethod
    def first(cls, projection: str) -> Control:
        """Return what holds where there is no control item: the first generation alone."""
        start = datetime.fromtimestamp(0, UTC)
        only = Generation(number=1, status="active", since=start, begun=start)
        return cls(projection=projection, generations=(only,))

    @property
    def live(self) -> tuple[Generation, ...]:
        """The generations that are fed, in the order they must be fed in: the active one last."""
        fed = (one for one in self.generations if one.status != "dropping")
        return tuple(sorted(fed, key=lambda one: (one.number == self.active, one.number)))

    @property
    def building(self) -> Generation | None:
        """The generation that a rebuild works on."""
        return next((one for one in self.generations if one.status in {"filling", "verifying"}), None)

    def generation(self, number: int) -> Generation:
        """Return one of the generations.

        Raises:
            RebuildRefusedError: there is none of this number.
        """
        for one in self.generations:
            if one.number == number:
                return one
        there = ", ".join(str(one.number) for one in self.generations)
        raise RebuildRefusedError(f"{self.projection} has no generation {number}; it has: {there}.")

    def begun(self, source: str, parts: int, now: datetime) -> Control:
        """Add a generation, to be filled.

        Raises:
            RebuildRefusedError: one is already built, or waits to be promoted.
        """
        for one in self.generations:
            if one.status in {"filling", "verifying", "ready"}:
                raise RebuildRefusedError(
                    f"{self.projection} already has generation {one.number}, which is {one.status}. "
                    f"Promote it, or drop it: eventfold projection drop {self.projection} {one.number}"
                )
        number = self.newest + 1
        one = Generation(number=number, status="filling", since=now, begun=now, source=source, parts=parts)
        return self.model_copy(update={"newest": number, "generations": (*self.generations, one)})

    def moved(self, number: int, status: Status, now: datetime) -> Control:
        """Give a generation another status."""
        changed = self.generation(number).model_copy(update={"status": status, "since": now})
        kept = tuple(changed if one.number == number else one for one in self.generations)
        return self.model_copy(update={"generations": kept})

    def promoted(self, number: int, now: datetime) -> Control:
        """Make a generation the active one, and keep the other to go back to.

        Raises:
            RebuildRefusedError: it is not ready.
        """
        if (status := self.generation(number).status) not in {"ready", "retired"}:
            reason = "is active already" if status == "active" else f"is {status}, not ready"
            raise RebuildRefusedError(f"{self.projection}: generation {number} {reason}.")
        switched = self.moved(self.active, "retired", now).moved(number, "active", now)
        return switched.model_copy(update={"active": number, "switched": now})

    def candidate(self, status: Literal["ready", "retired"]) -> int:
        """Return the newest generation to promote (`ready`), or the last one to go back to (`retired`).

        Raises:
            RebuildRefusedError: there is none.
        """
        found = [one for one in self.generations if one.status == status]
        if not found:
            what = "ready to be promoted" if status == "ready" else "to go back to"
            raise RebuildRefusedError(f"{self.projection} has no generation {what}.")
        return max(found, key=lambda one: (one.since, one.number)).number

    def dropped(self, number: int, now: datetime) -> Control:
        """Stop feeding a generation: its rows can be deleted.

        Raises:
            RebuildRefusedError: it is the active one.
        """
        if number == self.active:
            raise RebuildRefusedError(
                f"{self.projection}: generation {number} is the active one. Promote another first."
            )
        return self if self.generation(number).status == "dropping" else self.moved(number, "dropping", now)

    def without(self, number: int) -> Control:
        """Forget a generation."""
        kept = tuple(one for one in self.generations if one.number != number)
        return self.model_copy(update={"generations": kept})


class ControlStore(Protocol):
    """The port that control items are kept behind."""

    def read(self, projections: Sequence[str]) -> dict[str, Control]:
        """Return each read model's control item, read consistently; `Control.first` where there is none."""
        ...

    def write(self, control: Control) -> Control:
        """Replace the control item whose revision this one has, and return it with the next.

        Raises:
            RowConflictError: somebody else has changed it.
        """
        ...


class LiveTarget(NamedTuple):
    """A read model's generation, to be fed. The active one waits for each that can be promoted (`promotable`)."""

    target: AnyTarget
    active: bool
    promotable: bool


class Generations:
    """Which generations there are, as this process knows. Safe for threads."""

    def __init__(
        self,
        store: ControlStore,
        projections: Sequence[str],
        *,
        keep: float = CONTROL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._projections = tuple(projections)
        self._keep = keep
        self._clock = clock
        self._known: tuple[float, Mapping[str, Control]] | None = None

    def controls(self, max_age: float | None = None) -> Mapping[str, Control]:
        """Return the control items, at most so many seconds old. One request where they are older.

        Raises:
            StoreUnavailableError: they can't be read.
        """
        keep = self._keep if max_age is None else max_age
        now, known = self._clock(), self._known
        if known is None or now - known[0] >= keep:
            # Not under a lock: two threads that read at the same time cost a request, and none waits for another's.
            known = self._known = (now, self._store.read(self._projections))
        return known[1]

    def shown(self, projection: str) -> str:
        """Return the stored name of the generation that lists are read from."""
        control = self.controls(LIST_SECONDS)[projection]
        return str(GenerationName(projection, control.active))

    def live(self, targets: Iterable[AnyTarget], max_age: float | None = None) -> list[list[LiveTarget]]:
        """Return each read model's generations, in the order to feed them in: the active one last."""
        controls = self.controls(max_age)
        return [
            [
                LiveTarget(
                    target.at(one.number),
                    one.number == controls[target.name].active,
                    one.status not in {"filling", "active"},
                )
                for one in controls[target.name].live
            ]
            for target in targets
        ]


def lowest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return the lower of two versions of each stream, of those that only one names that one's."""
    return {
        stream: min(two.get(stream, version) for two in (one, other)) for stream, version in {**one, **other}.items()
    }


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
