"""Processes with their caches, on a store whose reads lag, keep keys unique as one that decides everything in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from eventfold import Backoff, CommandHandler, load
from eventfold.core.errors import KeyTakenError
from tests.unit.test_stale_reads import LaggingStore
from tests.unit.test_unique import KEYS, MEMBERS, Name

IDS, NAMES = ("1", "2", "3", "4"), ("ada", "ADA", "grace", None)


@dataclass(frozen=True)
class Step:
    """One command, sent to one of several processes while reads lag so far."""

    id_: str
    name: str | None
    process: int
    lag: int


@dataclass
class Model:
    """Who has which name after each command, decided in order."""

    names: dict[str, str | None] = field(default_factory=dict)

    def rename(self, step: Step) -> bool:
        others = {name.lower() for id_, name in self.names.items() if name and id_ != step.id_}
        allowed = step.name is None or step.name.lower() not in others
        if allowed:
            self.names[step.id_] = step.name
        return allowed


steps = st.builds(Step, st.sampled_from(IDS), st.sampled_from(NAMES), st.integers(0, 2), st.integers(0, 3))


@given(st.lists(steps, max_size=30))
def test_lagging_processes_keep_keys_as_one_that_decides_in_order(sent: list[Step]) -> None:
    store, model = LaggingStore(), Model()
    processes = [CommandHandler(store, MEMBERS, keys=KEYS, backoff=Backoff(base=0)) for _ in range(3)]
    for step in sent:
        store.lag = step.lag
        try:
            processes[step.process].handle(step.id_, Name(name=step.name))
            accepted = True
        except KeyTakenError:
            accepted = False
        assert accepted is model.rename(step), step
    store.lag = 0
    states = {id_: load(store, MEMBERS, f"member-{id_}").state for id_ in IDS}
    assert {id_: state.name for id_, state in states.items()} == {id_: model.names.get(id_) for id_ in IDS}
    claimed = {claim for page in store.listed() for claim in page}
    assert claimed == {(key, f"member-{id_}") for id_, state in states.items() for key in KEYS.of(MEMBERS, state)}
