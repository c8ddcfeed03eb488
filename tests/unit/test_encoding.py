"""What may be stored: what reads back as it was, by both ways of reading; and errors that quote nothing of the rest."""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, Json, JsonValue, SecretStr, computed_field, field_serializer, model_serializer

from eventfold import Codec, Command, Commit, Decider, Event, Head
from eventfold.core.errors import InvalidCommitError, UnstableEventError
from eventfold.dynamodb.items import commit_to_item, item_to_commit_or_snapshot
from eventfold.memory import MemoryEventStore
from eventfold.operations.verify.streams import StreamCheck

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SECRET = "Ada-secret"


class Reading(BaseModel, frozen=True):
    value: float
    at: datetime | None = None

    @computed_field  # type: ignore[prop-decorator] # pydantic's own way
    @property
    def twice(self) -> float:
        return self.value * 2


@dataclass(frozen=True)
class Slot:
    at: datetime


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Cat(BaseModel, frozen=True):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel, frozen=True):
    kind: Literal["dog"] = "dog"
    tricks: frozenset[str] = frozenset()


class Measured(Event, name="Measured", version=2):
    reading: Reading | None = None
    at: datetime | None = None
    slots: tuple[Slot, ...] = ()
    by_place: dict[str, Reading] = Field(default_factory=dict)
    by_day: dict[date, int] = Field(default_factory=dict)
    payload: Json[list[int]] = Field(default_factory=list)
    anything: Any = None
    text: str = ""
    raw: bytes = b""
    whole: int = 0
    price: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    level: Level = Level.HIGH
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(lives=9)
    either: bool | int | float | str = 0
    password: SecretStr = SecretStr("")
    opens: time | None = None


CODEC = Codec(Measured)


def read_back(event: Measured) -> Measured:
    """Return an event as every reader has it, by both ways of reading."""
    encoded = CODEC.encode_all([event])
    assert encoded.stored == (CODEC.encode(event),)
    item = commit_to_item(Commit("thing-1", 1, encoded.stored, "id", AT))
    one_pass, parsed = item_to_commit_or_snapshot(item), item_to_commit_or_snapshot(item)
    assert isinstance(one_pass, Commit)
    assert isinstance(parsed, Commit)
    assert parsed.events == encoded.stored
    read = [one.event for one in (*CODEC.recorded(one_pass), *CODEC.recorded(parsed))]
    assert read == encoded.events * 2
    assert {repr(one) for one in read} == {repr(one) for one in encoded.events}
    return read[0]


@pytest.mark.parametrize(
    "event",
    [
        Measured(reading=Reading(value=-0.0), by_place={"Berlin": Reading(value=1e308)}),
        Measured(payload="[1,2]"),
        Measured(by_day={date(2026, 1, 1): 1}),
        Measured(whole=10**4000, price=Decimal("1E-30"), either=True),
        Measured(either=1),
        Measured(either=1.0),
        Measured(either="1"),
        Measured(text="e\u0301\0\u2028\U0001f600", raw="é".encode()),
        Measured(text="NaN and Infinity are words, -Infinity too", anything={"NaN": "Infinity"}),
        Measured(pet=Dog(tricks=frozenset("abc"))),
        Measured(anything=[1, 1.5, None, {"a": [True]}]),
        Measured(opens=time(2, 30, tzinfo=BERLIN)),
    ],
)
def test_what_json_can_carry_comes_back_equal(event: Measured) -> None:
    assert read_back(event) == event


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("day", [date(2025, 10, 26), date(2025, 3, 30)])
def test_a_time_in_an_hour_that_a_zone_repeats_or_skips_comes_back_as_that_moment(day: date, fold: int) -> None:
    at = datetime.combine(day, time(2, 30), BERLIN).replace(fold=fold)
    event = Measured(at=at, reading=Reading(value=1, at=at), slots=(Slot(at),), by_place={"x": Reading(value=1, at=at)})
    read = read_back(event)
    assert read.at is not None
    assert read.at.isoformat() == at.isoformat()
    assert read.at.astimezone(UTC) == at.astimezone(UTC)
    with pytest.raises(
        UnstableEventError, match=r"version 2 does not survive its round trip through JSON at anything$"
    ):
        CODEC.encode(event.model_copy(update={"anything": (1,)}))


@given(st.datetimes(timezones=st.timezones() | st.none()))
@example(datetime(1890, 1, 1, tzinfo=BERLIN))  # Its offset has seconds, which the stored form leaves out.
@example(datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")))
@example(datetime.max.replace(tzinfo=ZoneInfo("America/New_York")))
def test_a_time_in_any_zone_is_stored_to_the_moment_or_refused(at: datetime) -> None:
    try:
        read = read_back(Measured(at=at))
    except UnstableEventError:
        offset = at.utcoffset()
        assert offset is not None
        assert offset.seconds % 60
    else:
        assert read.at is not None
        assert read.at.isoformat() == at.isoformat()


deep: Any = SECRET
for _ in range(250):
    deep = [deep]
circle: list[Any] = [SECRET]
circle.append(circle)
LONE = f"{SECRET}\ud800"


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (Measured(reading=Reading(value=math.inf)), "holds a number that is not finite at reading.value"),
        (Measured(reading=Reading(value=-math.inf)), "holds a number that is not finite at reading.value"),
        (Measured(by_place={SECRET: Reading(value=math.nan)}), "holds a number that is not finite at by_place.*.value"),
        (Measured(anything={SECRET: [math.inf]}), "does not survive its round trip through JSON at anything"),
        (Measured(text=LONE), "holds text that is not Unicode at text"),
        (Measured(anything={LONE: 1}), "has no JSON form: UnicodeEncodeError"),
        (Measured(anything=deep[0]), "holds lists or objects that nest too deep at anything.0"),
        (Measured(anything=circle), "has no JSON form: ValueError"),
        (Measured(anything=[object()]), "has no JSON form: PydanticSerializationError"),
        (Measured(whole=10**5000), "holds something that JSON has no form for"),
        (Measured(raw=b"\xff" + SECRET.encode()), "has no JSON form: UnicodeDecodeError"),
        (Measured(anything={1: SECRET}), "does not survive its round trip through JSON at anything"),
        (Measured(anything=(1, SECRET)), "does not survive its round trip through JSON at anything"),
        (Measured(anything=AT), "does not survive its round trip through JSON at anything"),
        (Measured(password=SecretStr(SECRET)), "does not survive its round trip through JSON at password"),
        (Measured.model_construct(whole=SECRET), "does not survive its round trip through JSON at whole"),  # type: ignore[arg-type]
        (Measured.model_construct(whole="5"), "does not survive its round trip through JSON at whole"),  # type: ignore[arg-type]
        (Measured.model_construct(reading=SECRET), "does not survive its round trip through JSON at reading"),  # type: ignore[arg-type]
        (
            Measured().model_copy(update={"pet": {"kind": SECRET}}),
            "does not survive its round trip through JSON at pet",
        ),
        (
            Measured().model_copy(update={"reading": Reading.model_construct(value=LONE)}),  # type: ignore[arg-type]
            "holds text that is not Unicode at reading.value",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_json_can_not_carry_is_refused_by_field_and_quotes_nothing(event: Measured, what: str) -> None:
    with pytest.raises(UnstableEventError, match=f"Measured version 2 ({what})") as raised:
        CODEC.encode(event)
    told = "".join(traceback.format_exception(raised.value))
    assert SECRET not in told.partition("tests/unit/test_encoding.py")[0]
    assert SECRET not in str(raised.value)


def test_a_form_that_nobody_could_read_is_not_stored() -> None:
    class Bare(Event, name="Bare"):
        value: int

        @model_serializer
        def bare(self) -> int:
            return self.value

    class Fails(Event, name="Fails"):
        value: str

        @field_serializer("value")
        def fail(self, value: str) -> str:
            raise KeyError(value)

    class Named(Event, name="Named"):
        value: int = Field(alias="VALUE")

    codec: Codec[Event] = Codec(Bare, Fails, Named)
    for event in (Bare(value=1), Fails(value=SECRET), Named(VALUE=1)):
        with pytest.raises(UnstableEventError, match=f"{type(event).__name__} version 1") as raised:
            codec.encode(event)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("event", [None, {"type": "Measured"}, Reading(value=1)])
def test_what_is_no_event_is_not_stored(event: Any) -> None:
    with pytest.raises(UnstableEventError, match="is not one of this aggregate's events"):
        CODEC.encode_all([Measured(), event])


@pytest.mark.parametrize(
    "data",
    [
        {"a": math.inf},
        {"a": [math.nan]},
        {LONE: 1},
        {"a": LONE},
        {"a": deep},
        {"a": 10**5000},
        {1: 1},
        {"a": (1,)},
        [1],
    ],
)
def test_a_commit_holds_json_and_nothing_else_whoever_made_it(data: Any) -> None:
    made = Commit("thing-1", 1, ({"type": "A", "v": 1, "data": {}}, {"type": "B", "v": 1, "data": data}), "id", AT)
    with pytest.raises(InvalidCommitError, match="stream 'thing-1', version 1: an event holds") as raised:
        commit_to_item(made)
    assert SECRET not in str(raised.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_is_refused_or_read_back_the_same(value: Any) -> None:
    try:
        read = read_back(Measured(anything=value))
    except UnstableEventError:
        assert "nan" in repr(value) or "inf" in repr(value)
    else:
        assert repr(read.anything) == repr(value)


anything = st.characters(codec=None)
texts = st.text(anything, max_size=9)


@given(
    id_=texts,
    digest=texts,
    meta=st.dictionaries(texts, texts, max_size=2),
    at=st.datetimes(timezones=st.timezones() | st.none()),
    data=st.dictionaries(texts, texts | st.floats() | st.integers(), max_size=2),
)
def test_any_commit_is_refused_or_read_back_the_same(
    id_: str, digest: str, meta: dict[str, str], at: datetime, data: dict[str, JsonValue]
) -> None:
    store = MemoryEventStore()
    try:
        one = Commit("thing-1", 1, ({"type": "A", "v": 1, "data": data},), id_, at, meta, digest)
        store.append(one, after=Head("thing-1", 0))
    except InvalidCommitError:
        assert list(store.newest_first("thing-1")) == []
    else:
        assert list(store.newest_first("thing-1")) == [one]
        store.append(one, after=None)


def test_verification_names_a_number_that_an_older_library_has_stored() -> None:
    decider: Decider[Command, Cat, Measured] = Decider(
        category="sensor", initial=Cat(lives=1), decide=lambda *_: [], evolve=lambda cat, _: cat, events=(Measured,)
    )
    stored: Any = ({"type": "Measured", "v": 2, "data": {"reading": {"value": math.inf}}},)
    check = StreamCheck("sensor-1", {"sensor": decider}).take_all([Commit("sensor-1", 1, stored, "c", AT)])
    assert [str(found) for found in check.findings] == [
        "events: sensor-1, version 1: holds a number that is not finite: no export can carry it"
    ]
    assert not check.broken
