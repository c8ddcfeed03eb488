"""Rebuilds in flight: by the state machine's function and the operator's steps, while all else goes on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app import main
from drills.chaos.world import NO_ANSWER
from eventfold.application.rebuilds import sweep
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.testing.checker import Finding, Wrong
from eventfold.testing.pump import InvocationContext
from functions.rebuild import handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from drills.chaos.functions import Functions
    from drills.chaos.queries import Queries
    from drills.chaos.world import World
    from eventfold.operations.rebuild.steps import Rebuild
    from eventfold.read_models.generations import Status

SECONDS = 900.0
"""The rebuild function's timeout."""


class Rebuilds:
    """Rebuilds read models, one after the other: promotes, goes back, promotes again, and drops the other one."""

    def __init__(self, world: World, functions: Functions, queries: Queries) -> None:
        self._world = world
        self._names = [target.name for target in functions.targets]
        self._rebuild_of = functions.rebuild_of
        self._queries = queries
        self._executions = 0

    def __call__(self) -> None:
        """Go on until the writers have sent all."""
        while self._world.pause_until(self._world.turns.now + 20):
            name = self._names[self._executions % len(self._names)]
            if self.promote(name):
                self._try(name, "switches", lambda rebuild: self._switch(rebuild, "retired"))
                self._try(name, "switches", lambda rebuild: self._switch(rebuild, "retired"))
            self.drop(name)

    def drop(self, name: str) -> bool:
        """Drop what a read model has no use for any more."""
        return self._try(name, "drops", self._drop)

    def promote(self, name: str) -> bool:
        """Rebuild a read model and show it; or show the generation that an earlier rebuild has left ready."""
        self._executions += 1
        ask = {"projection": name, "execution": f"execution-{self._executions}"}
        try:
            if any(one.status == "ready" for one in self._rebuild(name).control().generations):
                return self._try(name, "switches", lambda rebuild: self._switch(rebuild, "ready"))
            self._run(ask | {"source": "table", "segments": 2, "promote": True, "rate": 0})
        except (*NO_ANSWER, RebuildRefusedError) as error:
            self._note("rebuilds stopped", error)
            return False
        self._world.counts["rebuilds"] += 1
        return True

    def _run(self, ask: dict[str, Any]) -> None:
        """Go through the state machine's steps."""
        following = self._step(ask | {"step": "begin", "phase": "begin", "generation": 0})
        while following["phase"] != "done":
            now = ask | {key: following[key] for key in ("phase", "generation")}
            self._world.pause(following["wait"])
            for part in following["parts"]:
                while not self._step(now | {"step": "work", "part": part})["done"]:
                    pass
            self._queries.look()
            following = self._step(now | {"step": "close"})
            self._queries.look()

    def _step(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function, and again where the state machine does."""
        for attempt in range(8):
            with suppress(*NO_ANSWER), self._world.turns.within(SECONDS):
                answer: dict[str, Any] = handler.lambda_handler(event, _Context())
                return answer
            self._world.pause(min(60, 2 * 2**attempt))
        raise StoreUnavailableError("at every attempt")

    def _try(self, name: str, what: str, step: Callable[[Rebuild], None]) -> bool:
        """Make one of the operator's steps, again where it fails or is refused for now, until the writers are done."""
        while True:
            try:
                step(self._rebuild(name))
            except (*NO_ANSWER, RebuildRefusedError) as error:
                self._note(f"{what} that failed", error)
            else:
                self._world.counts[what] += 1
                return True
            if not self._world.pause_until(self._world.turns.now + 30):
                return False

    def _switch(self, rebuild: Rebuild, status: Any) -> None:
        self._world.pause(rebuild.settles_in())
        self._queries.look()
        rebuild.switch(rebuild.control().candidate(status))
        self._queries.look()

    def _drop(self, rebuild: Rebuild) -> None:
        unused: set[Status] = {"retired", "dropping"}
        for one in rebuild.control().generations:
            if one.status in unused:
                self._world.pause(rebuild.stop_feeding(one.number))
                for _ in rebuild.drop(one.number, lambda stored: sweep(main.application, stored)):
                    pass

    def _note(self, what: str, error: BaseException) -> None:
        self._world.counts[what] += 1
        if "somebody else" in str(error):
            self._world.wrong.append(Finding(what, Wrong.DIFFERING, f"there is nobody else, and yet: {error}"))

    def _rebuild(self, name: str) -> Rebuild:
        return self._rebuild_of(main.application, name, "operator")


class _Context(InvocationContext):
    def get_remaining_time_in_millis(self) -> int:
        return int(SECONDS * 1000)
