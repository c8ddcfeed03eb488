"""The aggregate root as three pure parts: where it starts, what it decides, how it evolves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_json

from eventfold.core.commit import stream_name
from eventfold.core.events import Codec, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eventfold.core.upcasting import Upcaster


class Command(BaseModel):
    """A request to change an aggregate: named as an order, refused or turned into events.

    Strict: `"12"` is no number. A field that may be left out has a default; `model_fields_set` says which were given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Decider[C: Command, S: BaseModel, E: Event]:
    """An aggregate. After Chassaing's "functional event sourcing decider".

    `decide(command, state)` holds the rules: it returns the events that happen, none if there is
    nothing to do, or raises the domain's own error. `evolve(state, event)` replays one event. Both
    are pure. `upcasters` read the versions of events that the code no longer has. `category` begins the
    names of its streams, and with the events' names is the stored format.
    """

    category: str
    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    events: tuple[type[E], ...]
    upcasters: tuple[Upcaster, ...] = ()

    def stream(self, id_: str) -> str:
        """Return the stream name of one aggregate."""
        return stream_name(self.category, id_)

    def fold(self, state: S, events: Iterable[E]) -> S:
        """Replay events onto a state."""
        return reduce(self.evolve, events, state)

    @cached_property
    def codec(self) -> Codec[E]:
        """The JSON form of its events."""
        return Codec(*self.events, upcasters=self.upcasters)

    @cached_property
    def states(self) -> TypeAdapter[S]:
        """The JSON form of its state, as snapshots keep it."""
        return TypeAdapter(type(self.initial))

    @cached_property
    def schema(self) -> str:
        """A fingerprint of the state's JSON schema: another shape makes old snapshots unusable by itself."""
        return hashlib.sha256(to_json(self.states.json_schema())).hexdigest()[:12]
