"""A read model's generation as everybody works on it: fed live, rebuilt, and verified by one protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from eventfold.core.errors import EventfoldError
from eventfold.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventfold.core.events import Codec, Recorded
    from eventfold.read_models.tallies import Counts

_TAKEN = frozenset(".#@!")
MAX_READ_MODEL_NAME_BYTES = 255
"""Leaves room in a key for a generation's number and the longest name of a stream: see `MAX_STREAM_NAME_BYTES`."""
_LATER = re.compile(r"([^.]+)\.([2-9]|[1-9][0-9]+)", re.DOTALL)


def check_read_model_name(name: str) -> None:
    """Refuse a name that can't begin stored keys: these characters part a name from what follows it there.

    Raises:
        ValueError: it is empty, has one of them, or is over 255 bytes.
    """
    if not name or _TAKEN.intersection(name):
        raise ValueError(f"a read model's name is not empty and has none of {' '.join(sorted(_TAKEN))}: {name!r}")
    if len(name.encode()) > MAX_READ_MODEL_NAME_BYTES:
        raise ValueError(f"a read model's name has at most {MAX_READ_MODEL_NAME_BYTES} bytes: {name[:40]!r}...")


class GenerationName(NamedTuple):
    """A read model and the number of one of its generations. As text, what the generation is stored under.

    The first generation is stored under the read model's own name, the second of `stats` under `stats.2`.
    """

    read_model: str
    number: int = 1

    def __str__(self) -> str:
        return self.read_model if self.number == 1 else f"{self.read_model}.{self.number}"

    @classmethod
    def parse(cls, stored: str) -> Self:
        """Read a stored name. What is none is taken for the name of a read model, which then nobody knows."""
        later = _LATER.fullmatch(stored)
        return cls(later[1], int(later[2])) if later else cls(stored)


class OrderChangedError(EventfoldError):
    """A read model's generations are no longer fed in the order that a run began with: what is left must begin anew."""


class Mark(Protocol):
    """How far a target has seen a stream."""

    @property
    def version(self) -> int:
        """The version of the last event it has seen."""
        ...


@dataclass(frozen=True, slots=True)
class Change[M: Mark, F: Mark]:
    """What is to be written of one stream: what `fold` made of it, and the mark it was made from, None where new."""

    stream: str
    before: M | None
    folded: F


class Target[M: Mark, F: Mark, E: Event](Protocol):
    """One generation of a read model: the rows of a projection, or a tally.

    `generation` names it, and `name` is the same as text, as it is stored. `M` is what is stored of a stream, `F` what
    events make of it.
    """

    generation: GenerationName
    codec: Codec[E]
    shared: bool
    """Whether streams add to counters that they share."""

    @property
    def name(self) -> str:
        """The stored name."""
        ...

    def at(self, number: int) -> Target[M, F, E]:
        """Return another generation of the same read model."""
        ...

    def follows(self, stream: str) -> bool:
        """Whether a stream's events are meant for it."""
        ...

    def read(self, streams: Sequence[str], *, consistent: bool = True) -> Mapping[str, M]:
        """Return how far it has seen each of these streams; one it has not seen is left out.

        With `consistent=False` at half the price, and a mark may be one that was there a moment ago: `save` refuses
        what was made of such a one.
        """
        ...

    def fold(self, before: M | F | None, events: Iterable[Recorded[E]]) -> F | None:
        """Return what `save` will write of one stream's events, which follow `before`; None if there is nothing."""
        ...

    def lay_out(self, folded: Iterable[F]) -> None:
        """Prepare the store for what will be about like this, before anything is written. Takes as much as it needs."""
        ...

    def grouped[C: Change[Any, Any]](self, changes: Iterable[C]) -> Iterable[Sequence[C]]:
        """Part changes of different streams into what `save` takes at once."""
        ...

    def save(self, changes: Sequence[Change[M, F]]) -> None:
        """Write a group, and move the marks: all or nothing.

        Raises:
            RowConflictError: a mark is no longer what was there before.
            StoreUnavailableError: nothing was written.
        """
        ...

    def differs(self, mark: M, folded: F) -> bool:
        """Whether what is stored is not what the events up to the same version make."""
        ...

    def needed(self, folded: F) -> int:
        """Return the version that a mark has to have come to: what events follow it change nothing. 0 if none does."""
        ...

    def counts(self, folded: F) -> Counts:
        """Return what the events folded last add to shared counters."""
        ...

    def totals(self, rows: Sequence[str]) -> Counts:
        """Return the shared counters in these rows as stored, read consistently."""
        ...


type AnyTarget = Target[Any, Any, Any]
"""A target of whatever kind, for what works on all of them."""


def version_of(mark: Mark | None) -> int:
    """Return how far a target has seen a stream: 0 where it has not."""
    return mark.version if mark else 0


def stands_for(target: AnyTarget, folded: Mark, version: int) -> bool:
    """Whether a mark at this version is what these events make: nothing that it lacks changes anything."""
    return bool(target.needed(folded) <= version <= folded.version)
