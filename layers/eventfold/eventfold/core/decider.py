"""The aggregate root as three pure parts: where it starts, what it decides, how it evolves."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from eventfold.core.commit import stream_name
from eventfold.core.errors import UnstableStateError
from eventfold.core.events import Codec, Event
from eventfold.core.shape import in_order, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eventfold.core.commit import Snapshot
    from eventfold.core.unique import Unique
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

    `unique` are the keys that no two of these aggregates may have at the same time.

    Raise `state_version` when `evolve` or an upcaster makes another state of the same events, and the state's shape
    stays: snapshots of before are wrong then, and nothing else says so.
    """

    category: str
    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    events: tuple[type[E], ...]
    upcasters: tuple[Upcaster, ...] = ()
    state_version: int = 1
    unique: tuple[Unique[S], ...] = ()

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
    def schema(self) -> str:
        """A fingerprint of the state: its shape and defaults, `initial`, `state_version`.

        A snapshot that has another one is ignored. Names of models, titles, descriptions and the order of fields may
        change freely. A new default changes it, since a replay may then come to another state. The shape is pydantic's
        JSON schema: a release that writes it otherwise costs every stream one longer replay.
        """
        shape = shape_of(self._states.json_schema(by_alias=False))
        data, value = (self._states.dump_python(self.initial, mode=m, round_trip=True) for m in ("json", "python"))
        text = json.dumps([shape, in_order(data, value), self.state_version], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def dump(self, state: S) -> str:
        """Return a state's JSON, as snapshots keep it.

        Raises:
            UnstableStateError: reading it back would not give an equal state.
        """
        dumped = self._states.dump_json(state, round_trip=True).decode()
        if self._read(dumped) != state:
            raise UnstableStateError(f"{type(state).__name__} does not survive its round trip through JSON")
        return dumped

    def restore(self, snapshot: Snapshot) -> S | None:
        """Return the state that a snapshot keeps; None if it has another schema or makes no sense."""
        return self._read(snapshot.state) if snapshot.schema == self.schema else None

    @cached_property
    def _states(self) -> TypeAdapter[S]:
        return TypeAdapter(type(self.initial))

    def _read(self, dumped: str) -> S | None:
        try:
            return self._states.validate_json(dumped, by_alias=False, by_name=True)
        except ValidationError:
            return None
