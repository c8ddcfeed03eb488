"""A process that knows an aggregate holds the very state that one which reads it does."""

from __future__ import annotations

from copy import replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventfold import Backoff, Command, CommandHandler, Commit, Decider, Event, Head, Request, load
from eventfold.core.errors import IdempotencyKeyReusedError, InvalidCommitError, UnstableEventError
from eventfold.memory import MemoryEventStore
from eventfold.testing import given as given_events
from tests.domain import COUNTER, Add, Added, Counter

if TYPE_CHECKING:
    from collections.abc import Callable

BERLIN = ZoneInfo("Europe/Berlin")
LONE = "Ada \ud800"


class Book(Command):
    at: datetime
    names: frozenset[str] = frozenset()
    rooms: tuple[frozenset[int], ...] = ()
    anything: Any = None


class Booked(Event, name="Booked"):
    at: datetime
    names: frozenset[str] = frozenset()
    rooms: tuple[frozenset[int], ...] = ()
    anything: Any = None


class Bookings(BaseModel, frozen=True):
    """What depends on more of a time than its moment."""

    days: tuple[str, ...] = ()
    anything: str = ""


def evolve(state: Bookings, event: Booked) -> Bookings:
    day = f"{event.at.date()} {event.at.utcoffset()} {event.at.tzname()}"
    return Bookings(days=(*state.days, day, *sorted(event.names)), anything=repr(event.anything))


BOOKINGS: Decider[Book, Bookings, Booked] = Decider(
    "bookings", Bookings(), lambda command, _: [Booked(**dict(command))], evolve, (Booked,)
)


def handler(store: MemoryEventStore) -> CommandHandler[Book, Bookings, Booked]:
    return CommandHandler(store, BOOKINGS, backoff=Backoff(base=0))


@given(
    st.lists(st.datetimes(timezones=st.timezones()), min_size=1, max_size=3), st.frozensets(st.text("abc", max_size=2))
)
@example([datetime.combine(date(2025, 10, 26), time(2, 30), BERLIN).replace(fold=fold) for fold in (0, 1)], frozenset())
@example([datetime.combine(date(2025, 3, 30), time(2, 30), BERLIN)], frozenset())
@example([datetime(2026, 7, 1, tzinfo=BERLIN)], frozenset())
def test_a_warm_process_holds_what_a_cold_one_reads(times: list[datetime], names: frozenset[str]) -> None:
    store = MemoryEventStore()
    warm = handler(store)
    for at in times:
        try:
            warm.handle("1", Book(at=at, names=names))
        except UnstableEventError:  # An offset with seconds, as clocks had them once.
            return
    known = warm._cache.get("bookings-1")
    assert known == load(store, BOOKINGS, "bookings-1")


def test_what_happened_is_part_of_a_specification_s_past_as_it_is_read() -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    past = given_events(BOOKINGS).when(Book(at=at)).then(Booked(at=at))
    assert past.state.days == ("2026-07-01 2:00:00 +02:00",)


class RacingStore(MemoryEventStore):
    """Before an append, another process may be first."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Callable[[], object] = lambda: None

    def append(self, commit: Commit, *, after: Head | None) -> None:
        first, self.first = self.first, lambda: None
        first()
        super().append(commit, after=after)


def counting(times: int, store: MemoryEventStore, *, second: int = 0) -> CommandHandler[Add, Counter, Any]:
    """Return a process whose version of the code makes so many events of a command, at a second of its own."""
    decider = replace(COUNTER, decide=lambda command, _: [Added(amount=command.amount)] * times)
    at = datetime(2026, 1, 1, second=second, tzinfo=UTC)
    return CommandHandler(store, decider, backoff=Backoff(base=0), clock=lambda: at)


@pytest.mark.parametrize(("stored", "decided"), [(1, 2), (2, 1), (1, 1)])
def test_a_repeat_that_other_code_decides_otherwise_answers_as_the_first_did(stored: int, decided: int) -> None:
    store = RacingStore()
    first, again = counting(stored, store), counting(decided, store, second=1)
    store.first = lambda: first.handle("1", Add(amount=1), Request(key="k"))
    outcome = again.handle("1", Add(amount=1), Request(key="k"))
    assert (outcome.version, outcome.appended, outcome.repeated) == (stored, 0, True)
    assert again.handle("1", Add(amount=5)).version == stored + decided
    assert again._cache.get("counter-1") == load(store, COUNTER, "counter-1")


def test_a_set_in_another_order_is_the_same_command() -> None:
    """In each process a set of strings is gone through in an order of its own; here, two that collide show it."""
    sets = frozenset([0, 8]), frozenset([8, 0])
    assert list(sets[0]) != list(sets[1])
    process = handler(MemoryEventStore())
    one, other = (Book(at=datetime(2026, 1, 1, tzinfo=UTC), rooms=(rooms,)) for rooms in sets)
    process.handle("1", one, Request(key="k"))
    assert process.handle("1", other, Request(key="k")).repeated
    for different in (one.model_copy(update={"rooms": sets}), one.model_copy(update={"rooms": (frozenset([1]),)})):
        with pytest.raises(IdempotencyKeyReusedError):
            process.handle("1", different, Request(key="k"))


def test_a_write_whose_answer_was_lost_is_its_own() -> None:
    sent: list[Commit] = []

    class Lossy(RacingStore):
        def append(self, commit: Commit, *, after: Head | None) -> None:
            sent.append(commit)
            super().append(commit, after=after)
            super().append(commit, after=after)  # as botocore repeats a request

    store = Lossy()
    outcome = counting(2, store).handle("1", Add(amount=1))
    assert (outcome.version, outcome.appended, outcome.conflicts) == (2, 2, 0)
    assert list(store.oldest_first("counter-1")) == sent


@pytest.mark.parametrize(
    "request_",
    [
        Request(key=LONE),
        Request(key="k", caller=LONE),
        Request(meta={"actor": LONE}),
        Request(meta={LONE: "x"}),
        Request(key="k", meta={"actor": 1}),  # type: ignore[dict-item] # what is tested
    ],
)
def test_what_comes_with_a_command_is_text_or_refused_and_not_quoted(request_: Request) -> None:
    store = MemoryEventStore()
    with pytest.raises(InvalidCommitError) as raised:
        handler(store).handle("1", Book(at=datetime(2026, 1, 1, tzinfo=UTC)), request_)
    assert "Ada" not in str(raised.value)
    assert list(store.newest_first("bookings-1")) == []


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize(
    "command",
    [
        Book(at=datetime(2026, 1, 1, tzinfo=UTC), names=frozenset([LONE])),
        Book(at=datetime(2026, 1, 1, tzinfo=UTC), anything=object()),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_command_built_past_validation_is_refused_and_not_quoted(command: Book, key: str | None) -> None:
    with pytest.raises(InvalidCommitError) as raised:
        handler(MemoryEventStore()).handle("1", command, Request(key=key))
    assert "Ada" not in str(raised.value)


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidCommitError, match="Unicode"):
        handler(MemoryEventStore()).handle(LONE, Book(at=datetime(2026, 1, 1, tzinfo=UTC)))
