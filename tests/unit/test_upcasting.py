"""Old events in today's shape, and what becomes of versions, rows and counters then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventfold import (
    Codec,
    Command,
    Commit,
    Data,
    Decider,
    Event,
    Head,
    Recorded,
    StoredEvent,
    load,
    load_version,
    renamed,
    retired,
    split,
    take_snapshot,
    upcaster,
)
from eventfold.aggregates.history import read_events, read_page
from eventfold.core.errors import UnknownEventError
from eventfold.core.upcasting import UpcasterChain
from eventfold.memory import MemoryEventStore, MemoryParkedStore, MemoryRowStore, MemoryTallyStore
from eventfold.read_models.projections import Projection, RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Tally, TallyTarget

AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = "account-1"


class Deposited(Event, name="Deposited", version=3):
    cents: int
    currency: str


class Named(Event, name="Named", version=1):
    name: str


@upcaster("Deposited", 1)
def in_cents(data: Data) -> Data:
    return {"cents": int(str(data["euros"])) * 100}


@upcaster("Deposited", 2)
def with_currency(data: Data) -> Data:
    return {**data, "currency": "EUR"}


@split("Opened", 1)
def opened_apart(data: Data) -> list[StoredEvent]:
    return [
        StoredEvent(type="Named", v=1, data={"name": data["name"]}),
        StoredEvent(type="Deposited", v=1, data={"euros": data["euros"]}),
    ]


UPCASTERS = (in_cents, with_currency, opened_apart, renamed("PaidIn", 1, to=("Deposited", 2)), retired("Poked", 1))


class Account(BaseModel, frozen=True):
    name: str = ""
    cents: int = 0


def evolve(account: Account, event: Deposited | Named) -> Account:
    if isinstance(event, Named):
        return account.model_copy(update={"name": event.name})
    return account.model_copy(update={"cents": account.cents + event.cents})


ACCOUNTS: Decider[Command, Account, Deposited | Named] = Decider(
    "account", Account(), lambda *_: [], evolve, (Deposited, Named), UPCASTERS
)
STORED: dict[str, StoredEvent] = {
    "now": {"type": "Deposited", "v": 3, "data": {"cents": 5, "currency": "EUR"}},
    "first": {"type": "Deposited", "v": 1, "data": {"euros": 1}},
    "second": {"type": "Deposited", "v": 2, "data": {"cents": 20}},
    "renamed": {"type": "PaidIn", "v": 1, "data": {"cents": 300}},
    "split": {"type": "Opened", "v": 1, "data": {"name": "Ada", "euros": 10}},
    "retired": {"type": "Poked", "v": 1, "data": {"by": "Bob"}},
}
CENTS = {"now": 5, "first": 100, "second": 20, "renamed": 300, "split": 1000, "retired": 0}


def test_upcasters_are_chained_up_to_the_version_that_the_code_has() -> None:
    (event,) = ACCOUNTS.codec.decode(STORED["first"], stream=STREAM, version=1)
    assert event == Deposited(cents=100, currency="EUR")


def test_what_an_upcaster_does_to_its_argument_stays_its_own() -> None:
    def spoil(data: Data) -> Data:
        data["inner"]["euros"] = 0  # type: ignore[index, call-overload] # JSON
        return {"cents": 0}

    stored: StoredEvent = {"type": "Deposited", "v": 2, "data": {"inner": {"euros": 1}}}
    UpcasterChain([upcaster("Deposited", 2)(spoil)], {("Deposited", 3)}).current(stored)
    assert stored["data"] == {"inner": {"euros": 1}}


@pytest.mark.parametrize(
    ("upcasters", "message"),
    [
        ([in_cents], "leads to 'Deposited' version 2, which the code does not have"),
        (
            [upcaster("Deposited", 3)(lambda data: data)],
            "'Deposited' version 3 is an event of the code, so nothing upcasts from it: give it a new version",
        ),
        ([with_currency, retired("Deposited", 2)], "two upcasters start from 'Deposited' version 2"),
        (
            [renamed("A", 1, to=("B", 1)), renamed("B", 1, to=("A", 1))],
            "in a circle: 'A' version 1 -> 'B' version 1 -> ",
        ),
    ],
)
def test_a_chain_that_cannot_hold_is_refused_when_it_is_made(upcasters: list, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(TypeError, match=message):
        Codec(Deposited, Named, upcasters=upcasters)


def test_a_split_in_a_circle_ends_as_an_unknown_event() -> None:
    again = split("A", 1)(lambda data: [StoredEvent(type="A", v=1, data=data)])
    with pytest.raises(UnknownEventError):
        Codec(Deposited, upcasters=[again]).decode({"type": "A", "v": 1, "data": {}}, stream=STREAM, version=7)


def test_an_upcaster_that_fails_names_the_event_and_quotes_nothing() -> None:
    stored: StoredEvent = {"type": "Deposited", "v": 1, "data": {"euros": "secret"}}
    with pytest.raises(UnknownEventError, match=r"version 7: the upcaster of Deposited version 1 fails") as caught:
        ACCOUNTS.codec.decode(stored, stream=STREAM, version=7)
    assert "secret" not in str(caught.value)


def project(row: Account | None, recorded: Recorded[Deposited | Named]) -> Account | None:
    return evolve(row or Account(), recorded.event)


def filled(commits: list[list[str]]) -> MemoryEventStore:
    """Return a store whose stream has these stored events, commit by commit."""
    store, version = MemoryEventStore(), 0
    for n, kinds in enumerate(commits):
        events = tuple(STORED[kind] for kind in kinds)
        commit = Commit(STREAM, version + 1, events, f"c{n}", AT + timedelta(seconds=n))
        store.append(commit, after=Head(STREAM, version))
        version += len(kinds)
    return store


kinds = st.sampled_from(sorted(STORED))


@given(st.lists(st.lists(kinds, min_size=1, max_size=4), min_size=1, max_size=6), st.integers(1, 30), st.data())
def test_old_events_fold_as_if_they_had_been_stored_today(
    commits: list[list[str]], upto: int, data: st.DataObject
) -> None:
    store = filled(commits)
    flat = [kind for kinds in commits for kind in kinds]
    if data.draw(st.booleans()):
        take_snapshot(store, ACCOUNTS, STREAM, 1)
    loaded = load(store, ACCOUNTS, STREAM)
    assert (loaded.version, loaded.state.cents) == (len(flat), sum(CENTS[kind] for kind in flat))
    then = load_version(store, ACCOUNTS, STREAM, upto)
    assert (then.version, then.state.cents) == (min(upto, len(flat)), sum(CENTS[kind] for kind in flat[:upto]))


@given(st.lists(st.lists(kinds, min_size=1, max_size=4), min_size=1, max_size=6), st.data())
def test_rows_and_counters_stand_at_the_version_of_the_stream(commits: list[list[str]], data: st.DataObject) -> None:
    store, rows, tallies = filled(commits), MemoryRowStore(), MemoryTallyStore()
    projection = Projection("accounts", "account", ACCOUNTS.codec, Account, project)
    tally = Tally("kinds", "account", ACCOUNTS.codec, lambda one: [("all", type(one.event).__name__, 1)])
    runner = ProjectionRunner(store, MemoryParkedStore(), writers=1)
    batch = list(store.oldest_first(STREAM))
    cut = data.draw(st.integers(0, len(batch)))
    flat = [kind for kinds in commits for kind in kinds]
    for some in (batch[:cut], batch[cut:], batch):
        results = runner.run(RowTarget(projection, rows), some), runner.run(TallyTarget(tally, tallies), some)
        assert [(result.parked, result.healed) for result in results] == [({}, 0)] * 2
    row = rows.get("accounts", [STREAM])[STREAM]
    assert row.version == len(flat)
    last = max((n for n, kind in enumerate(flat, 1) if kind != "retired"), default=0)
    checkpoint = tallies.checkpoints("kinds", [STREAM]).get(STREAM)
    assert last <= (checkpoint.version if checkpoint else 0) <= len(flat)
    deposits = sum(kind != "retired" for kind in flat)
    names = flat.count("split")
    counted = {name: count for name, count in (("Deposited", deposits), ("Named", names)) if count}
    assert tallies.totals("kinds", ["all"]).get("all", {}) == counted
    assert Account.model_validate_json(row.data or "{}").cents == sum(CENTS[kind] for kind in flat)


def test_the_audit_trail_shows_the_parts_of_a_split_together_and_nothing_of_what_is_retired() -> None:
    store = filled([["retired", "split"], ["now"], ["retired"]])
    trail = read_events(store, ACCOUNTS.codec, STREAM)
    assert [(one.version, type(one.event).__name__) for one in trail] == [
        (2, "Named"),
        (2, "Deposited"),
        (3, "Deposited"),
    ]
    assert [one.version for one in read_events(store, ACCOUNTS.codec, STREAM, limit=1)] == [2, 2]
    assert [one.version for one in read_events(store, ACCOUNTS.codec, STREAM, after=2, limit=1)] == [3]


@given(st.lists(st.lists(kinds, min_size=1, max_size=4), min_size=1, max_size=6), st.integers(1, 4))
def test_pages_of_the_audit_trail_together_show_each_event_once(commits: list[list[str]], limit: int) -> None:
    store = filled(commits)
    found, after, more = [], 0, True
    while more:
        page = read_page(store, ACCOUNTS.codec, STREAM, after=after, limit=limit)
        assert len({one.version for one in page.events}) <= limit
        found += page.events
        more = page.more
        assert page.events or not more
        after = page.events[-1].version if page.events else after
    assert found == read_events(store, ACCOUNTS.codec, STREAM)
