"""Events and their stored form."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypedDict, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from eventfold.core.errors import UnknownEventError, UnstableEventError
from eventfold.core.stored import NotJsonError, Written, joined, written
from eventfold.core.upcasting import UpcasterChain
from eventfold.core.validation import fields_at_fault, place_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.core.commit import Commit
    from eventfold.core.stored import StoredEvent
    from eventfold.core.upcasting import Upcaster


class Event(BaseModel):
    """A fact: immutable, named in the past tense.

    `name` and `version` become the stored format. They never follow a rename of the class:

        class UserCreated(Event, name="UserCreated", version=2): ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    event_name: ClassVar[str]
    event_version: ClassVar[int]

    def __init_subclass__(cls, *, name: str = "", version: int = 1) -> None:
        """Take the stored name and version from the class statement."""
        if not name or version < 1:
            raise TypeError(f'{cls.__name__} needs a stored name: class {cls.__name__}(Event, name="...")')
        cls.event_name = name
        cls.event_version = version


@dataclass(frozen=True, slots=True)
class Recorded[E: Event]:
    """An event with what the store knows of it: its version, and the commit it came with."""

    version: int
    event: E
    commit: Commit

    @property
    def retired(self) -> bool:
        """Whether its type no longer exists, so that there is nothing to fold."""
        return isinstance(self.event, Retired)

    @property
    def is_copy(self) -> bool:
        """Whether it is at home in another stream, and was written to this one in the same transaction."""
        return any(copy.version == self.version for copy in self.commit.copies)

    @property
    def stream(self) -> str:
        """The stream it happened in."""
        return self.commit.stream

    @property
    def at(self) -> datetime:
        """When it was committed, in UTC."""
        return self.commit.at

    @property
    def commit_id(self) -> str:
        """The id of its commit: where the command had one, the caller's idempotency key. See `Commit.public_id`."""
        return self.commit.id

    @property
    def meta(self) -> Mapping[str, str]:
        """What its writer noted besides: correlation id, causation id, actor."""
        return self.commit.meta


class Retired(Event, name="Retired"):
    """What a retired event is read as. It keeps its place in the stream, and nobody folds it."""


class Encoded[E: Event](NamedTuple):
    """The events of a commit in their stored form, and as everybody will read them from there."""

    stored: Written
    events: list[E]


class Codec[E: Event]:
    """The event types of one aggregate, registered once, and their JSON form in and out."""

    def __init__(self, *types: type[E], upcasters: Sequence[Upcaster] = ()) -> None:
        self.types: dict[tuple[str, int], type[E]] = {}
        self._read: dict[tuple[str, int], Callable[[object], E]] = {}
        self._dump: dict[type[E], Callable[..., Any]] = {}
        for type_ in types:
            key = (type_.event_name, type_.event_version)
            if key in self.types:
                raise TypeError(f"two events are stored as {key[0]!r} version {key[1]}")
            self.types[key] = type_
            # A model's own `model_validate` and `model_dump` cost as much again as what they call.
            adapter = TypeAdapter(type_)
            self._read[key] = adapter.validator.validate_python
            self._dump[type_] = adapter.serializer.to_python
        self.upcasters = UpcasterChain(upcasters, self.types)
        self._read_all = _reader_of_all(types)

    def encode(self, event: E) -> StoredEvent:
        """Return the stored form.

        Raises:
            UnstableEventError: the type is not registered, or reading the stored form back would not
                give an equal event (a `Decimal | str` field holding a Decimal, say). What can't be
                read back must not be written. Names the fields at fault, and quotes nothing they hold.
        """
        return self._proven(event)[0][0]

    def encode_all(self, events: Iterable[E]) -> Encoded[E]:
        """Return the stored form of a commit's events, and the events as they are read from it.

        They are equal and not always the same: a time comes back with its offset from UTC, without the name of its
        zone. Whoever folds what was read holds what every other reader will.

        Raises:
            UnstableEventError: see `encode`.
        """
        proven = [self._proven(event) for event in events]
        return Encoded(joined([stored for stored, _ in proven]), [read for _, read in proven])

    def _proven(self, event: E) -> tuple[Written, E]:
        dump = self._dump.get(type(event))
        if dump is None:
            raise UnstableEventError(f"{type(event).__name__} is not one of this aggregate's events")
        key = (event.event_name, event.event_version)
        try:
            # A warning would quote what is wrong with the event; the round trip finds it, and quotes nothing.
            data = dump(event, mode="json", round_trip=True, warnings=False)
        except Exception as error:  # noqa: BLE001 - a serializer may be the user's code
            raise _refused(key, f"has no JSON form: {type(error).__name__}") from None
        try:
            stored = written([{"type": key[0], "v": key[1], "data": data}])
            # Both ways that it may be read: pydantic takes "1" for another member of a union in JSON than in Python.
            parsed = self._read[key](stored[0]["data"])
            read: E = self._read_all(stored.text)[0]["data"]
        except NotJsonError as error:
            raise _refused(key, f"holds {error.reason}", place_in(error.path[2:], type(event))) from None
        except ValidationError as error:
            raise _refused(key, _UNSTABLE, fields_at_fault(error, type(event))) from None
        if not (read == parsed and _alike(read, event)):
            names = type(event).model_fields
            differing = [name for name in names if not _alike(getattr(read, name), getattr(event, name))]
            raise _refused(key, _UNSTABLE, ", ".join(differing))
        return stored, read

    def decode(self, stored: StoredEvent, *, stream: str, version: int) -> Sequence[E]:
        """Return what a stored event is read as: itself, typed; through upcasters, none or several.

        Raises:
            UnknownEventError: names the stream and version whose type or data is not known.
        """
        key = (stored["type"], stored["v"])
        if key in self.upcasters:
            try:
                current = self.upcasters.current(stored)
            except Exception as error:
                reason = f"the upcaster of {key[0]} version {key[1]} fails: {type(error).__name__}"
                raise UnknownEventError(stream, version, reason) from error
            return [self._typed(one, stream, version) for one in current]
        return (self._typed(stored, stream, version),)

    def current(self, commit: Commit) -> list[E] | None:
        """Return the events of a commit that was read and not parsed yet, if all are of today's versions; else None.

        One pass from JSON to models, at two thirds of the CPU of parsing first and validating then.
        """
        unread = commit.unread
        if unread is None:
            return None
        try:
            return [one["data"] for one in self._read_all(unread)]
        except ValidationError:
            return None  # An upcaster's to read, or somebody's to name what is wrong.

    def recorded(self, commit: Commit) -> list[Recorded[E]]:
        """Return a commit's events, typed, each with the version it was stored at; a retired one as `Retired`."""
        current = self.current(commit)
        if current is not None:
            return [Recorded(version, event, commit) for version, event in enumerate(current, start=commit.version)]
        return [
            Recorded(version, event, commit)
            for version, stored in enumerate(commit.events, start=commit.version)
            for event in self.decode(stored, stream=commit.stream, version=version) or (_RETIRED,)
        ]

    def _typed(self, stored: StoredEvent, stream: str, version: int) -> E:
        key = (stored["type"], stored["v"])
        read = self._read.get(key)
        if read is None:
            raise UnknownEventError(stream, version, f"no event {key[0]!r} version {key[1]} is registered")
        try:
            return read(stored["data"])
        except ValidationError as error:
            fields = fields_at_fault(error, self.types[key])
            reason = f"{key[0]} version {key[1]} does not fit its model at {fields}"
            raise UnknownEventError(stream, version, reason) from None


def _reader_of_all[E: Event](types: Sequence[type[E]]) -> Callable[[str | bytes], list[dict[str, Any]]]:
    """Return what reads a JSON array of stored events, each of one of these types at its version."""
    stored: list[Any] = [
        # Made here and not written down: a literal's value is each event's own.
        TypedDict(type_.__name__, {"type": Literal[type_.event_name], "v": Literal[type_.event_version], "data": type_})  # type: ignore[operator]
        for type_ in types
    ]
    union: Any = Union[tuple(stored)]  # noqa: UP007 - of as many as there are
    if len({type_.event_name for type_ in types}) == len(stored) > 1:
        union = Annotated[union, Field(discriminator="type")]  # Picks one, where a plain union tries each.
    return TypeAdapter(list[union]).validator.validate_json


def _alike(read: object, event: object) -> bool:
    """Return whether what was read is what was written.

    A time in an hour that its zone skips or repeats is unequal to every time in another zone, so there is no form that
    it could come back equal in (PEP 495). It comes back the same if it shows the same clock and offset.
    """
    if read == event:
        return True
    if isinstance(read, datetime) and isinstance(event, datetime):
        return read.isoformat() == event.isoformat()
    if type(read) is not type(event):
        return False
    parts, others = _parts(read), _parts(event)
    return len(parts) == len(others) > 0 and all(map(_alike, parts, others))


def _parts(value: object) -> list[object]:
    """Return what a value is made of, in an order that two equal ones share; nothing if it is not made of parts."""
    match value:
        case BaseModel():
            return [dict(value), value.__pydantic_private__]
        case dict():
            return [list(value), *value.values()]
        case list() | tuple():
            return list(value)
        case _ if is_dataclass(value):
            return [getattr(value, one.name) for one in fields(value)]
        case _:
            return []


_UNSTABLE = "does not survive its round trip through JSON"


def _refused(key: tuple[str, int], why: str, where: str = "") -> UnstableEventError:
    return UnstableEventError(f"{key[0]} version {key[1]} {why}{f' at {where}' if where else ''}")


_RETIRED: Any = Retired()  # Passes for an event of any aggregate, and none of them sees it.
