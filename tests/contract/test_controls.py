"""One contract for control items, progress and holds, on every adapter; and reads that follow a switch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.memory import MemoryControlStore, MemoryRowStore, MemoryTallyStore
from eventfold.operations.rebuild.progress import Progress
from eventfold.operations.scanning import Place
from eventfold.read_models.generations import Control
from eventfold.read_models.projections import Row, RowConflictError
from eventfold.read_models.tallies import Checkpoint
from eventfold.testing import Meter
from tests.conftest import READ_MODELS_TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.read_models.projections import RowStore
    from eventfold.read_models.tallies import TallyStore

AT = datetime(2026, 1, 1, tzinfo=UTC)

type Controls = MemoryControlStore | DynamoDBRebuildStore


class Now:
    """A clock that stands until it is set."""

    seconds = 1_000.0


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture(params=["memory", "moto", pytest.param("local", marks=pytest.mark.dynamodb_local)])
def stores(request: pytest.FixtureRequest, now: Now) -> tuple[Controls, RowStore, TallyStore]:
    if request.param == "memory":
        memory = MemoryControlStore(clock=lambda: now.seconds)
        return memory, MemoryRowStore(memory), MemoryTallyStore(memory)
    if request.param == "moto":
        client, table = request.getfixturevalue("moto_client"), READ_MODELS_TABLE
    else:
        client, table = request.getfixturevalue("local_client"), request.getfixturevalue("local_tables")[1]
    controls = DynamoDBRebuildStore(client, table, clock=lambda: datetime.fromtimestamp(now.seconds, UTC))
    return controls, DynamoDBRowStore(client, table), DynamoDBTallyStore(client, table)


@pytest.fixture
def controls(stores: tuple[Controls, RowStore, TallyStore]) -> Controls:
    return stores[0]


def test_without_a_control_item_the_first_generation_is_active(controls: Controls) -> None:
    assert controls.read(["p", "q"]) == {"p": Control.first("p"), "q": Control.first("q")}


def test_a_control_item_is_replaced_only_by_who_has_read_the_last(controls: Controls) -> None:
    begun = controls.write(Control.first("p").begun("table", 4, AT))
    assert controls.read(["p", "q"]) == {"p": begun, "q": Control.first("q")}
    ready = controls.write(begun.moved(2, "ready", AT))
    for outdated in (Control.first("p").begun("table", 4, AT), begun.moved(2, "dropping", AT)):
        with pytest.raises(RowConflictError):
            controls.write(outdated)
    assert controls.read(["p"])["p"] == ready


def test_a_parking_in_between_keeps_a_switch_from_being_written_and_nothing_else(controls: Controls) -> None:
    controls.count_parking("p")  # of a read model without a control item: nobody can switch it
    assert controls.read(["p"]) == {"p": Control.first("p")}
    begun = controls.write(Control.first("p").begun("table", 4, AT))
    controls.count_parking("p")
    ready = controls.write(begun.moved(2, "ready", AT))
    seen = controls.read(["p"])["p"]
    controls.count_parking("p")
    with pytest.raises(RowConflictError):
        controls.write(seen.promoted(2, AT), unparked=True)
    again = controls.read(["p"])["p"]
    assert (again.revision, again.active) == (ready.revision, 1)
    assert again.parkings != seen.parkings
    assert controls.write(again.promoted(2, AT), unparked=True).active == 2


def test_a_write_made_again_changes_nothing(controls: Controls) -> None:
    """Its answer may have been lost."""
    begun = Control.first("p").begun("table", 4, AT)
    assert controls.write(begun) == controls.write(begun) == controls.read(["p"])["p"]
    controls.save_progress("p.2", "fill", Progress(part=1, streams=4, run="mine"))
    saved = controls.save_progress("p.2", "fill", Progress(part=1, streams=5, run="mine"))
    assert controls.progress("p.2", "fill", [1]) == {1: saved}


def test_progress_is_kept_only_by_who_has_read_the_last(controls: Controls) -> None:
    first = controls.save_progress("p.2", "fill", Progress(part=1, streams=4, run="one"))
    second = controls.save_progress("p.2", "fill", first.model_copy(update={"streams": 6, "run": "other"}))
    for outdated in (Progress(part=1, streams=9, run="one"), first.model_copy(update={"streams": 9})):
        with pytest.raises(RowConflictError):
            controls.save_progress("p.2", "fill", outdated)
    assert controls.progress("p.2", "fill", [1]) == {1: second}


def test_pages_lie_beside_the_progress_and_go_with_it(controls: Controls) -> None:
    for part, name in ((1, "run-0"), (1, "run-1"), (1, "other-0"), (2, "run-0")):
        controls.save_page("p.2", "verify", part, name, f"{part} {name}".encode())
    controls.save_progress("p.2", "verify", Progress(part=1, pages={"run": 2}))
    assert controls.progress("p.2", "verify", [1]).keys() == {1}  # A client judges by its first answer how to parse.
    assert set(controls.pages("p.2", "verify", 1, ["run-1", "run-0", "run-2"])) == {b"1 run-0", b"1 run-1"}
    controls.forget_progress("p.2", [1])
    assert list(controls.pages("p.2", "verify", 1, ["run-0", "run-1"])) == []
    assert list(controls.pages("p.2", "verify", 2, ["run-0"])) == [b"2 run-0"]


def test_progress_comes_back_by_phase_and_part(controls: Controls) -> None:
    fill = Progress(part=3, place=Place("thing-1", "4"), streams=2, events=4, pages={"run": 2})
    fill = controls.save_progress("p.2", "fill", fill)
    controls.save_progress("p.2", "verify", Progress(part=3).found("thing-1: differs"))
    assert controls.progress("p.2", "fill", range(5)) == {3: fill}
    assert controls.progress("p.2", "verify", range(5))[3].findings == ("thing-1: differs",)
    assert controls.progress("p.3", "fill", range(5)) == {}
    controls.forget_progress("p.2", range(5))
    assert controls.progress("p.2", "fill", range(5)) == controls.progress("p.2", "verify", range(5)) == {}


def test_a_rebuild_is_held_by_one_until_it_lets_go_or_falls_silent(controls: Controls, now: Now) -> None:
    assert controls.hold("p", "one", 30) == 0
    assert controls.hold("p", "two", 30) == pytest.approx(30)
    assert controls.hold("q", "two", 30) == 0
    now.seconds += 20
    assert controls.hold("p", "one", 30) == 0
    now.seconds += 29
    assert controls.hold("p", "two", 30) == pytest.approx(1)
    controls.release("p", "two")
    assert controls.hold("p", "two", 30) > 0
    now.seconds += 2
    assert controls.hold("p", "two", 30) == 0
    controls.release("p", "two")
    assert controls.hold("p", "one", 30) == 0


def test_a_rebuild_that_failed_says_why_and_stops_its_other_workers(controls: Controls) -> None:
    controls.release("p", "one", "nobody held it")
    assert controls.failure("p", "one") == ""
    assert controls.hold("p", "one", 30, on=True) > 0
    assert controls.hold("p", "one", 30) == controls.hold("p", "one", 30, on=True) == 0
    controls.release("p", "two", "not mine")
    controls.release("p", "one", "the first reason")
    controls.release("p", "one", "another")
    assert controls.failure("p", "one") == "the first reason"
    assert controls.failure("p", "two") == ""
    assert controls.hold("p", "one", 30, on=True) > 0
    assert controls.hold("p", "one", 30) == 0, "begun again"
    assert controls.failure("p", "one") == ""
    controls.release("p", "one")
    assert controls.hold("p", "two", 30) == 0


def test_reads_follow_a_switch_both_ways(stores: tuple[Controls, RowStore, TallyStore]) -> None:
    controls, rows, tallies = stores
    rows.put("p", Row("thing-1", 3, "{}", "old"), replaces=0)
    rows.put("p.2", Row("thing-1", 4, "{}", "new"), replaces=0)
    tallies.add("t", {"all": {"a": 1}}, {Checkpoint("thing-1", 1): None})
    tallies.add("t.2", {"all": {"a": 2}}, {Checkpoint("thing-1", 1): None})

    def seen() -> tuple[str | None, int]:
        row = rows.get_active("p", ["thing-1", "thing-2"])["thing-1"]
        return row.sort, tallies.totals_active("t", ["all"])["all"]["a"]

    def switch(name: str, number: int) -> None:
        control = controls.read([name])[name]
        if control.newest == 1:
            control = controls.write(control.begun("table", 1, AT)).moved(2, "ready", AT)
            control = controls.write(control)
        controls.write(control.promoted(number, AT))

    assert seen() == ("old", 1)
    switch("p", 2)
    switch("t", 2)
    assert seen() == ("new", 2)
    switch("p", 1)
    switch("t", 1)
    assert seen() == ("old", 1)


@pytest.mark.dynamodb_local
def test_a_read_of_the_active_generation_is_one_request(
    local_client: DynamoDBClient, local_tables: tuple[str, str]
) -> None:
    table = local_tables[1]
    controls, rows = DynamoDBRebuildStore(local_client, table), DynamoDBRowStore(local_client, table)
    tallies = DynamoDBTallyStore(local_client, table)
    control = controls.write(Control.first("p").begun("table", 1, AT))
    control = controls.write(control.moved(2, "ready", AT))
    rows.put("p", Row("thing-1", 3, "{}"), replaces=0)
    rows.put("p.2", Row("thing-1", 3, "{}"), replaces=0)
    with Meter.on(local_client) as meter:
        rows.get_active("p", ["thing-1"])
    assert (meter.requests, meter.capacity) == (["BatchGetItem"], 2)  # the row, and the control item
    controls.write(control.promoted(2, AT))
    with Meter.on(local_client) as meter:
        rows.get_active("p", ["thing-1"])
        rows.get_active("p", ["thing-1"])
        tallies.totals_active("t", ["all"])
    assert meter.requests == ["BatchGetItem"] * 4  # one more, once after the switch
