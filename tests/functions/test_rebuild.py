"""The rebuild function: its steps in the order that the state machine takes them, and its time limit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.telemetry import InvocationFailedError
from app.users.rules import UserCreated, UserUpdated
from eventfold.application.rebuilds import rebuild_of
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.operations.reading import TableSource
from eventfold.operations.rebuild.steps import job
from eventfold.read_models.feed import UnknownProjectionError
from eventfold.read_models.generations import ORDER_SECONDS
from eventfold.testing.faults import Fault, FaultInjector, pauses
from functions.rebuild import handler
from tests.functions.application import START
from tests.support import LambdaContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.application import Application

type Step = Callable[..., dict[str, Any]]


@pytest.fixture
def step(app: Application, monkeypatch: pytest.MonkeyPatch) -> Step:
    """Make one step; the pauses are the state machine's."""
    monkeypatch.setattr(handler, "LEFT_MILLISECONDS", 1_000)

    def call(name: str, execution: str = "me", **event: Any) -> dict[str, Any]:
        about = {"step": name, "projection": "directory", "execution": execution, "source": "table", "segments": 2}
        return app.call("rebuild", about | {"generation": 2, "rate": 0, "promote": True} | event)

    return call


def test_the_steps_lead_from_the_beginning_to_the_switch(app: Application, step: Step) -> None:
    for n in range(5):
        app.project(app.append(str(n), UserCreated(name=f"A{n}"), UserUpdated(name=f"B{n}")))
    commits = len(app.commits())
    begun = step("begin")
    assert begun == {"phase": "fill", "generation": 2, "parts": [0, 1], "wait": 7}
    filled = [step("work", phase="fill", part=part) for part in begun["parts"]]
    assert ([one["done"] for one in filled], sum(one["streams"] for one in filled)) == ([True, True], 5)
    closed = step("close", phase="fill")
    assert closed == begun | {"phase": "verify", "wait": closed["wait"]}
    assert 0 < closed["wait"] <= ORDER_SECONDS
    assert all(step("work", phase="verify", part=part)["done"] for part in begun["parts"])
    assert step("close", phase="verify") == {"phase": "done", "generation": 2, "promoted": True}
    assert main.application.control_store.read(["directory"])["directory"].active == 2
    assert app.request("GET", "/users/3").body["name"] == "B3"
    assert len(app.commits()) == commits
    assert app.lines("command handled") == app.lines("snapshot taken") == []


def test_a_rebuild_can_end_without_a_switch(app: Application, step: Step) -> None:
    closed = step("begin")
    for phase in ("fill", "verify"):
        for part in (0, 1):
            step("work", phase=phase, part=part)
        closed = step("close", phase=phase, promote=False)
    assert closed == {"phase": "done", "generation": 2, "promoted": False}
    assert main.application.control_store.read(["directory"])["directory"].generation(2).status == "ready"


def test_a_phase_is_not_closed_before_its_parts_are_done(step: Step) -> None:
    step("begin")
    step("work", phase="fill", part=0)
    with pytest.raises(RebuildRefusedError, match="1 of 2 parts are left to fill"):
        step("close", phase="fill")


def test_a_second_execution_is_refused_until_the_first_lets_go(step: Step) -> None:
    step("begin", "one")
    with pytest.raises(RebuildRefusedError, match="is running"):
        step("begin", "two")
    with pytest.raises(RebuildRefusedError, match="2 of 2 parts are left"):
        step("close", "one", phase="fill")
    assert step("begin", "two")["generation"] == 2


def test_a_worker_that_fails_stops_the_others_and_says_why(
    app: Application, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map says that a part has failed, and not why; what is under way is not ended with it."""
    app.project(app.append("1", UserCreated(name="A")))
    step("begin")
    store = main.application.rebuild_store
    run = rebuild_of(main.application, "directory", "me")
    running = job(run, run.control().generation(2), "fill", TableSource(main.application.scannable_store, 2))
    running.hold()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("of Ada's")

    with monkeypatch.context() as patched:
        patched.setattr(handler, "work", broken)
        with pytest.raises(InvocationFailedError, match=r"^ZeroDivisionError$"):
            step("work", phase="fill", part=0)
    assert re.fullmatch(r"ZeroDivisionError at \w+\.py:\d+", store.failure("directory", "me"))
    with pytest.raises(RebuildRefusedError, match="ZeroDivisionError at"):
        running.hold()
    assert step("work", phase="fill", part=0)["done"] is True, "as a redrive of the execution does"
    running.hold()


def test_more_parts_than_a_state_passes_on_are_refused(step: Step) -> None:
    with pytest.raises(RebuildRefusedError, match=r"10001 parts, and 10000 are the most: use --here"):
        step("begin", segments=handler.MAX_PARTS + 1)
    assert step("begin", "two", segments=10)["generation"] == 2


def test_a_worker_returns_before_its_time_is_over(app: Application, step: Step) -> None:
    @dataclass(frozen=True)
    class NearlyOver(LambdaContext):
        def get_remaining_time_in_millis(self) -> int:
            return handler.LEFT_MILLISECONDS - 1

    app.project(app.append("1", UserCreated(name="A")))
    step("begin")
    event = {"step": "work", "projection": "directory", "execution": "me", "generation": 2, "phase": "fill", "part": 0}
    event["rate"] = 0
    assert handler.lambda_handler(event, NearlyOver())["done"] is False
    assert step("work", phase="fill", part=0)["done"] is True


def built(step: Step) -> None:
    """Bring a generation to where its verification can be closed."""
    step("begin")
    for phase in ("fill", "verify"):
        if phase == "verify":
            step("close", phase="fill")
        for part in (0, 1):
            step("work", phase=phase, part=part)


@pytest.mark.parametrize(
    "event", [{"name": "promote"}, {"name": "close", "phase": "begin"}, {"name": "close", "phase": ""}]
)
def test_an_unknown_step_is_refused(step: Step, event: dict[str, Any]) -> None:
    step("begin", "one")
    with pytest.raises(RebuildRefusedError, match="A rebuild has no"):
        step(execution="one", **event)


@pytest.mark.parametrize("lost", [1, 3], ids=["once", "at every attempt"])
@pytest.mark.parametrize("status", ["ready", "active"])
def test_a_write_whose_answer_is_lost_leaves_the_rebuild_promoted(
    app: Application, step: Step, lost: int, status: str
) -> None:
    """Botocore asks again where an answer is lost; where all are, the state machine closes the phase again."""
    app.project(app.append("1", UserCreated(name="A")))
    built(step)
    written = f'\\"number\\":2,\\"status\\":\\"{status}\\"'
    with (
        FaultInjector(main.application.dynamodb).on(Fault.LOST_ANSWER, written, lost) as faults,
        pauses(lambda _: None),
    ):
        if lost > 1:
            with pytest.raises(StoreUnavailableError):
                step("close", phase="verify")
        assert step("close", phase="verify") == {"phase": "done", "generation": 2, "promoted": True}
    assert faults.counts[Fault.LOST_ANSWER] == lost
    control = main.application.control_store.read(["directory"])["directory"]
    assert {one.number: one.status for one in control.generations} == {1: "retired", 2: "active"}


def test_a_phase_that_is_closed_again_leaves_alone_who_went_back_meanwhile(step: Step) -> None:
    built(step)
    step("close", phase="verify")
    main.application.control_store.write(
        main.application.control_store.read(["directory"])["directory"].promoted(1, START)
    )
    for phase in ("verify", "promote"):
        assert step("close", phase=phase)["promoted"] is True
    assert main.application.control_store.read(["directory"])["directory"].active == 1


def test_a_step_of_an_execution_that_was_overtaken_touches_no_other_generation(app: Application, step: Step) -> None:
    built(step)
    step("close", phase="verify", promote=False)
    control = main.application.control_store.read(["directory"])["directory"]
    main.application.control_store.write(control.dropped(2, START).without(2))
    assert step("begin", "other")["generation"] == 3
    for event in ({"name": "work", "phase": "fill", "part": 0}, {"name": "close", "phase": "fill"}):
        with pytest.raises(RebuildRefusedError, match="has no generation 2"):
            step(execution="me", **event)


def test_what_is_no_read_model_s_own_name_is_refused(step: Step) -> None:
    with pytest.raises(UnknownProjectionError, match=r"no projection .directory\.2"):
        step("begin", projection="directory.2")
