"""The rebuild function: its steps in the order that the state machine takes them, and its time limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from app import wiring
from app.users.rules import UserCreated, UserUpdated
from eventfold.core.errors import RebuildRefusedError
from functions.rebuild import handler
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
        return app.call("rebuild", about | {"rate": None, "promote": True} | event)

    return call


def test_the_steps_lead_from_the_beginning_to_the_switch(app: Application, step: Step) -> None:
    for n in range(5):
        app.project(app.append(str(n), UserCreated(name=f"A{n}"), UserUpdated(name=f"B{n}")))
    commits = len(app.commits())
    begun = step("begin")
    assert begun == {"phase": "fill", "generation": 2, "parts": [0, 1], "wait": 7}
    filled = [step("work", phase="fill", part=part) for part in begun["parts"]]
    assert ([one["done"] for one in filled], sum(one["streams"] for one in filled)) == ([True, True], 5)
    assert step("close", phase="fill") == begun | {"phase": "verify", "wait": 5}
    assert all(step("work", phase="verify", part=part)["done"] for part in begun["parts"])
    assert step("close", phase="verify") == {"phase": "done", "generation": 2, "promoted": True}
    assert wiring.control_store().read(["directory"])["directory"].active == 2
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
    assert wiring.control_store().read(["directory"])["directory"].generation(2).status == "ready"


def test_a_phase_is_not_closed_before_its_parts_are_done(step: Step) -> None:
    step("begin")
    step("work", phase="fill", part=0)
    with pytest.raises(RebuildRefusedError, match="1 of 2 parts are left to fill"):
        step("close", phase="fill")


def test_a_second_execution_is_refused_until_the_first_lets_go(step: Step) -> None:
    step("begin", "one")
    with pytest.raises(RebuildRefusedError, match="is running"):
        step("begin", "two")
    step("release", "one")
    assert step("begin", "two")["generation"] == 2


def test_a_worker_returns_before_its_time_is_over(app: Application, step: Step) -> None:
    @dataclass(frozen=True)
    class NearlyOver(LambdaContext):
        def get_remaining_time_in_millis(self) -> int:
            return handler.LEFT_MILLISECONDS - 1

    app.project(app.append("1", UserCreated(name="A")))
    step("begin")
    event = {"step": "work", "projection": "directory", "execution": "me", "phase": "fill", "part": 0, "rate": None}
    assert handler.lambda_handler(event, NearlyOver())["done"] is False
    assert step("work", phase="fill", part=0)["done"] is True
