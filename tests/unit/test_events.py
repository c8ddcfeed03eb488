"""Events and their stored form."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from eventfold import Codec, Commit, Event, Snapshot
from eventfold.core.errors import BrokenStreamError, UnknownEventError, UnstableEventError
from eventfold.core.validation import fields_at_fault
from eventfold.dynamodb.items import commit_to_item, item_to_commit_or_snapshot, read_whole, snapshot_to_item

if TYPE_CHECKING:
    from eventfold import StoredEvent

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


class Money(BaseModel, frozen=True):
    amount: Decimal
    currency: str


class Paid(Event, name="Paid", version=3):
    id: UUID
    at: datetime
    day: date
    price: Money
    lines: tuple[Money, ...]
    ratio: float
    note: str | None = None


class Vague(Event, name="Vague", version=1):
    value: Decimal | str


class Address(BaseModel, frozen=True, extra="forbid"):
    city: str


class Scored(Event, name="Scored", version=1):
    scores: dict[str, int]
    addresses: dict[str, list[Address]]


money = st.builds(Money, amount=st.decimals(allow_nan=False, allow_infinity=False), currency=st.text())
zones = st.builds(timezone, st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)))
paid = st.builds(
    Paid,
    id=st.uuids(),
    at=st.datetimes(timezones=zones | st.none()),
    day=st.dates(),
    price=money,
    lines=st.lists(money, max_size=3).map(tuple),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    note=st.none() | st.text(),
)


def through_an_item(stored: StoredEvent) -> StoredEvent:
    """Store an event and read it back, all the way to DynamoDB's own form."""
    item = commit_to_item(Commit("thing-1", 1, (stored,), "id", AT))
    back = item_to_commit_or_snapshot(item)
    assert isinstance(back, Commit)
    return back.events[0]


@given(paid)
def test_every_field_survives_the_round_trip_exactly(event: Paid) -> None:
    codec = Codec(Paid)
    back = codec.decode(through_an_item(codec.encode(event)), stream="thing-1", version=1)[0]
    assert back == event
    assert repr(back.price.amount) == repr(event.price.amount)
    assert back.at.utcoffset() == event.at.utcoffset()


def as_read(*stored: StoredEvent) -> Commit:
    """Store a commit and read it back, its events not asked for yet."""
    back = item_to_commit_or_snapshot(commit_to_item(Commit("thing-1", 1, stored, "id", AT)))
    assert isinstance(back, Commit)
    return back


@given(st.lists(paid | st.builds(Vague, value=st.text("abc")), min_size=1))
def test_events_read_in_one_pass_are_those_read_one_by_one(events: list[Paid | Vague]) -> None:
    codec: Codec[Paid | Vague] = Codec(Paid, Vague)
    stored = [codec.encode(event) for event in events]
    found = codec.current(as_read(*stored))
    assert found == events == [one.event for one in codec.recorded(as_read(*stored))]
    assert [repr(one) for one in found] == [repr(one.event) for one in codec.recorded(as_read(*stored))]


@pytest.mark.parametrize(
    "stored",
    [
        {"type": "Vague", "v": 2, "data": {"value": "a"}},
        {"type": "Gone", "v": 1, "data": {}},
        {"type": "Vague", "v": 1, "data": {"value": None}},
    ],
)
def test_a_commit_with_anything_but_todays_events_is_not_read_in_one_pass(stored: StoredEvent) -> None:
    codec: Codec[Paid | Vague] = Codec(Paid, Vague)
    assert codec.current(as_read(codec.encode(Vague(value="a")), stored)) is None


def test_a_commit_whose_events_were_asked_for_is_not_read_again() -> None:
    codec = Codec(Vague)
    commit = as_read(codec.encode(Vague(value="a")))
    assert commit.events
    assert codec.current(commit) is None


def test_the_stored_form_has_the_stable_name_and_version() -> None:
    class Renamed(Event, name="Old", version=2):
        x: int

    assert Codec(Renamed).encode(Renamed(x=1)) == {"type": "Old", "v": 2, "data": {"x": 1}}


def test_events_are_immutable_and_take_no_unknown_field() -> None:
    event = Vague(value="a")
    with pytest.raises(ValidationError):
        event.value = "b"  # type: ignore[misc] # what is tested
    with pytest.raises(ValidationError):
        Vague.model_validate({"value": "a", "other": 1})


def test_an_event_that_would_come_back_different_is_not_stored() -> None:
    with pytest.raises(UnstableEventError, match="Vague version 1"):
        Codec(Vague).encode(Vague(value=Decimal("1.10")))
    with pytest.raises(UnstableEventError, match="Vague version 1"):  # In JSON it is read as the other one.
        Codec(Vague).encode(Vague(value="1.10"))
    assert Codec(Vague).encode(Vague(value="one"))["data"] == {"value": "one"}


def test_an_event_of_another_aggregate_is_not_stored() -> None:
    codec: Codec[Event] = Codec(Paid)
    with pytest.raises(UnstableEventError, match="Vague"):
        codec.encode(Vague(value="a"))


def test_a_class_without_a_stored_name_is_refused() -> None:
    with pytest.raises(TypeError, match="stored name"):

        class Nameless(Event):
            pass


def test_two_classes_with_one_stored_name_are_refused() -> None:
    class Again(Event, name="Vague", version=1):
        pass

    with pytest.raises(TypeError, match="'Vague' version 1"):
        Codec(Vague, Again)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"type": "Gone", "v": 1, "data": {}}, "no event 'Gone' version 1"),
        ({"type": "Vague", "v": 9, "data": {"value": "a"}}, "no event 'Vague' version 9"),
        ({"type": "Vague", "v": 1, "data": {"secret": "secret"}}, "at *: extra_forbidden, value: missing"),
        (
            {"type": "Scored", "v": 1, "data": {"scores": {"secret": 1, "scores": "x"}, "addresses": {}}},
            "at scores.scores: int_parsing",
        ),
        ({"type": "Scored", "v": 1, "data": {"scores": {"secret": "x"}, "addresses": {}}}, "at scores.*: int_parsing"),
        (
            {"type": "Scored", "v": 1, "data": {"scores": {}, "addresses": {"secret": [{"city": 1, "secret": 2}]}}},
            "at addresses.*.0.*: extra_forbidden, addresses.*.0.city: string_type",
        ),
        (
            {
                "type": "Scored",
                "v": 1,
                "data": {"scores": dict.fromkeys(map(str, range(999)), "secret"), "addresses": {}},
            },
            "at scores.*: int_parsing",
        ),
    ],
)
def test_an_unknown_event_names_its_stream_and_version_and_not_its_data(stored: StoredEvent, reason: str) -> None:
    with pytest.raises(UnknownEventError) as caught:
        Codec(Vague, Scored).decode(stored, stream="thing-7", version=42)
    assert (caught.value.stream, caught.value.version) == ("thing-7", 42)
    assert "stream 'thing-7', version 42" in str(caught.value)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "secret" not in str(caught.value)


def test_where_a_type_has_no_json_schema_its_models_own_fields_are_named() -> None:
    class Odd:
        pass

    class Model(BaseModel, arbitrary_types_allowed=True):
        odd: Odd
        name: str

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"odd": "secret", "secret": 1})
    assert fields_at_fault(caught.value, Model) == "name: missing, odd: is_instance_of"


def test_a_commits_public_id_is_its_own_and_nothing_of_its_key() -> None:
    stored = (Codec(Vague).encode(Vague(value="a")),)
    keyed, again = (Commit("thing-7", 42, stored, id_, AT) for id_ in ("ada@example.com", "other"))
    others = [
        Commit("thing-7", 43, stored, "ada@example.com", AT),
        Commit("thing-74", 2, stored, "ada@example.com", AT),
    ]
    assert keyed.public_id == again.public_id == read_whole(commit_to_item(keyed)).public_id  # type: ignore[union-attr] # a commit
    assert len({keyed.public_id, *(one.public_id for one in others)}) == 3


@pytest.mark.parametrize(
    "broken",
    [
        {"events": {"S": "not json"}},
        {"events": {"S": '[{"type": "Vague"}]'}},
        {"at": {"N": "9" * 30}},
        {"at": {"S": "today"}},
        {"commit": {"N": "1"}},
        {"meta": {"S": "[]"}},
    ],
)
def test_an_item_that_is_no_commit_names_its_stream_and_version(broken: dict[str, dict[str, str]]) -> None:
    item = commit_to_item(Commit("thing-7", 42, (Codec(Vague).encode(Vague(value="secret")),), "id", AT))
    with pytest.raises(BrokenStreamError, match=r"stream 'thing-7', version 42") as caught:
        read_whole({**item, **broken})
    assert "secret" not in str(caught.value)


def test_a_part_of_a_commit_that_nobody_asks_for_is_not_read() -> None:
    item = commit_to_item(Commit("thing-7", 42, (Codec(Vague).encode(Vague(value="a")),), "id", AT))
    commit = item_to_commit_or_snapshot({**item, "meta": {"S": "[]"}})
    assert isinstance(commit, Commit)
    assert commit.last_version == 42
    with pytest.raises(BrokenStreamError, match=r"stream 'thing-7', version 42"):
        _ = commit.meta


LONG = commit_to_item(Commit("thing-7", 42, (Codec(Vague).encode(Vague(value="a" * 2000)),), "id", AT))
LONG_SNAPSHOT = snapshot_to_item(Snapshot("thing-7", 42, "s", '"' + "a" * 2000 + '"', AT))


@pytest.mark.parametrize("item", [LONG, LONG_SNAPSHOT])
def test_what_is_compressed_reads_back_as_bytes_and_as_a_stream_record_has_it(item: dict[str, Any]) -> None:
    (name,) = (name for name, value in item.items() if "B" in value)
    base64_text = {"B": base64.b64encode(item[name]["B"]).decode()}
    assert read_whole(item) == read_whole({**item, name: base64_text})
    for broken in (b"no zlib", item[name]["B"][:-20], "no base64"):
        with pytest.raises(BrokenStreamError):
            read_whole({**item, name: {"B": broken}})


def test_the_events_of_a_commit_have_consecutive_versions() -> None:
    codec = Codec(Vague)
    stored = tuple(codec.encode(Vague(value=text)) for text in "abc")
    commit = Commit("thing-1", 5, stored, "id", AT, {"actor": "me"})
    recorded = codec.recorded(commit)
    assert [(one.version, one.event.value) for one in recorded] == [(5, "a"), (6, "b"), (7, "c")]
    assert {(one.commit_id, one.at, one.meta["actor"]) for one in recorded} == {("id", AT, "me")}


def test_the_stored_form_is_plain_json() -> None:
    item = commit_to_item(Commit("thing-1", 1, (Codec(Vague).encode(Vague(value="ä")),), "id", AT))
    assert json.loads(item["events"]["S"]) == [{"type": "Vague", "v": 1, "data": {"value": "ä"}}]
