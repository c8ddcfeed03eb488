"""Generations of read models: one is shown, others are filled beside it or kept to go back to.

A control item for each read model says which generations there are and which one queries read. One conditional write
of that item is the whole switch; nothing is deployed. What a process knows of them is in `live.py`.

No reader goes back in time: in the generation that is shown next, each stream has seen at least what readers have seen
of it in the one before. For:

1. One run feeds all generations of a read model, the active one last, and brings a stream to the same version in each
   (`feed.py`). What the active one shows of a stream the others have therefore seen before, or the stream is parked in
   them. That holds from the moment that a generation is begun, whatever its status.
2. A switch needs a generation in which nothing is parked. It reads the control item, then what is parked, and writes
   the control item if nobody has changed its `parkings`. A run that parks a stream in a generation that is not active
   changes `parkings` before it feeds the active one: what a reader can have seen without the next generation is either
   on the list, or the write fails.
3. A run keeps to the order of the control item that it began with, and asks before each write whether that one still
   stands (`Generations.confirm`), by an answer at most `CONTROL_SECONDS` old. So nobody writes in an order that is
   older than `ORDER_SECONDS`. A rebuild begins to verify so long after the generation was begun: what was written
   until then by who did not know of it is verified, row by row, and brought on.
4. A run that meets a switch when it has fed one generation and not yet the other feeds the other in the new order, or
   parks what it can't: it leaves none behind that was shown to be ahead. The next switch comes `SETTLE_SECONDS` later,
   when every such run is over.
5. A query reads the control item and the row consistently, in one request, and takes the row only if it is the active
   generation's (`ActiveReader`). A query that begins after another has answered sees the same control item or a later.

What is left: a process that dies between two generations leaves the first of them ahead. Lambda brings its batch again
before any later one of that lane, within seconds unless that fails too. Who goes back meanwhile, `SETTLE_SECONDS` after
the switch or later, may see that batch's commits disappear until it is through.

A list is read from an index that follows the table by itself, and makes no such promise, with generations or without.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import AwareDatetime, BaseModel

from eventfold.core.errors import RebuildRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence


CONTROL_SECONDS = 5.0
"""How long a process keeps control items. A rebuild scans only what was committed before it had begun for so long."""

ORDER_SECONDS = 25.0
"""How long after a control item was written nobody writes rows in the order before it: `CONTROL_SECONDS`, the call that
was under way (12 s, `eventfold.dynamodb.client.CALL_SECONDS`), and something for clocks that differ."""

SETTLE_SECONDS = 65.0
"""How long after a switch a run has ended that was at work by the control item before: `CONTROL_SECONDS`, and the
longest invocation."""

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
    """A read model's generations. `newest` is the highest number ever given; `revision` counts the item's writes.

    `parkings` is another number after each time that streams were parked in a generation that is not active.
    """

    projection: str
    active: int = 1
    newest: int = 1
    generations: tuple[Generation, ...]
    switched: AwareDatetime | None = None
    revision: int = 0
    parkings: int = 0

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
        """Add a generation, to be filled; or fill the one that is being built from this source, whatever it was before.

        Raises:
            RebuildRefusedError: one waits to be promoted.
        """
        if one := self.building:
            other = one.model_copy(update={"source": source, "parts": parts, "status": "filling"})
            return self if one.source == source else self._with(other)
        for one in self.generations:
            if one.status == "ready":
                raise RebuildRefusedError(
                    f"{self.projection} already has generation {one.number}, which is {one.status}. "
                    f"Promote it, or drop it: eventfold projection drop {self.projection} {one.number}"
                )
        number = self.newest + 1
        one = Generation(number=number, status="filling", since=now, begun=now, source=source, parts=parts)
        return self.model_copy(update={"newest": number, "generations": (*self.generations, one)})

    def moved(self, number: int, status: Status, now: datetime) -> Control:
        """Give a generation another status."""
        return self._with(self.generation(number).model_copy(update={"status": status, "since": now}))

    def followed(self, number: int, status: Status, after: Status, now: datetime) -> Control:
        """Give a generation the status that follows one; leave it alone if it has another."""
        return self.moved(number, after, now) if self.generation(number).status == status else self

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

    def _with(self, changed: Generation) -> Control:
        kept = tuple(changed if one.number == changed.number else one for one in self.generations)
        return self.model_copy(update={"generations": kept})

    def without(self, number: int) -> Control:
        """Forget a generation."""
        kept = tuple(one for one in self.generations if one.number != number)
        return self.model_copy(update={"generations": kept})


class ControlStore(Protocol):
    """The port that control items are kept behind."""

    def read(self, projections: Sequence[str]) -> dict[str, Control]:
        """Return each read model's control item, read consistently; `Control.first` where there is none."""
        ...

    def write(self, control: Control, *, unparked: bool = False) -> Control:
        """Replace the control item whose revision this one has, and return it with the next; again changes nothing.

        With `unparked` it is replaced only if nothing was parked since it was read: its `parkings` too are the same.

        Raises:
            RowConflictError: somebody else has changed it, or something was parked.
            StoreUnavailableError: it may have been written or not.
        """
        ...

    def count_parking(self, projection: str) -> None:
        """Change `parkings`, where there is a control item. One request."""
        ...
