"""When a snapshot is used: what a change of the state's model does to its fingerprint, and what a snapshot gives back."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field, create_model

from eventfold import Commit, Decider, Head, load, take_snapshot
from eventfold.core.errors import UnstableStateError
from eventfold.memory import MemoryEventStore
from tests.domain import COUNTER, Added


def decider(initial: Any, **more: Any) -> Decider[Any, Any, Any]:
    return Decider("counter", initial, COUNTER.decide, lambda state, _: state, COUNTER.events, **more)


def schema(initial: Any, **more: Any) -> str:
    return decider(initial, **more).schema


class Line(BaseModel, frozen=True):
    sku: str
    pieces: int = 1


class Cart(BaseModel, frozen=True):
    status: Literal["open", "closed"] = "open"
    lines: tuple[Line, ...] = ()
    parts: dict[str, Line] = {}


def described() -> Any:
    class Row(BaseModel):
        """Part of what somebody buys."""

        model_config = ConfigDict(frozen=True, title="A row")

        pieces: int = Field(1, title="Pieces", description="How many.", examples=[3], deprecated="Soon.")
        sku: str = Field(description="What.")

    class Basket(BaseModel, frozen=True):
        """What somebody is about to buy."""

        parts: dict[str, Row] = Field({}, description="By number.")
        lines: tuple[Row, ...] = ()
        status: Literal["closed", "open"] = "open"

    return Basket()


def test_words_names_of_models_and_the_order_of_fields_change_nothing() -> None:
    assert schema(described()) == schema(Cart())


def test_a_release_of_pydantic_that_writes_schemas_otherwise_is_noticed() -> None:
    """It costs every stream one longer replay: say so in the changelog, and put the new one here."""
    assert schema(Cart()) == "eb93390524fc"


class More(Cart, frozen=True):
    paid: bool = False


class OtherType(Cart, frozen=True):
    status: str = "open"  # type: ignore[assignment]


class OtherDefault(Cart, frozen=True):
    status: Literal["open", "closed"] = "closed"


class Bounded(Cart, frozen=True):
    lines: Annotated[tuple[Line, ...], Field(max_length=9)] = ()


class WithoutDefaultWithin(BaseModel, frozen=True):
    sku: str
    pieces: int


class Strict(Cart, frozen=True):
    lines: tuple[WithoutDefaultWithin, ...] = ()  # type: ignore[assignment]


@pytest.mark.parametrize("other", [More(), OtherType(), OtherDefault(), Bounded(), Strict(), Cart(status="closed")])
def test_another_shape_default_or_start_changes_it(other: Cart) -> None:
    assert schema(other) != schema(Cart())


def test_a_raised_state_version_changes_it() -> None:
    assert len({schema(Cart()), schema(Cart(), state_version=2), schema(Cart(), state_version=3)}) == 3
    assert schema(Cart(), state_version=1) == schema(Cart())


def test_fields_and_values_that_are_called_like_words_of_a_schema_count() -> None:
    def one(name: str, default: object = "") -> str:
        return schema(create_model("One", **{name: (dict | str, default)})())  # type: ignore[call-overload]

    assert len({one("title"), one("description"), one("examples"), one("default"), one("enum")}) == 5
    assert one("words", {"title": "a"}) != one("words", {"title": "b"})


SETS = """
from pydantic import BaseModel
from eventfold import Decider

class Rights(BaseModel, frozen=True):
    names: frozenset[str] = frozenset("abcdefgh")

class Account(BaseModel, frozen=True):
    rights: Rights = Rights()
    tags: frozenset[str] = frozenset("ijklmnop")

print(Decider("account", Account(tags={"q", "r", "s", "t"}), None, None, ()).schema)
"""


def test_a_state_with_sets_has_the_same_in_every_process() -> None:
    said = {
        subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-c", SETS], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


class Tree(BaseModel, frozen=True):
    leaves: int = 0
    branches: tuple[Tree, ...] = ()


class Wood(BaseModel, frozen=True):
    """The same, under another name."""

    branches: tuple[Wood, ...] = ()
    leaves: int = 0


class Bare(BaseModel, frozen=True):
    leaves: int = 0
    branches: tuple[int, ...] = ()


def test_a_model_that_holds_itself_has_one_too() -> None:
    assert schema(Tree()) == schema(Wood()) != schema(Bare())


# --- What a snapshot gives back ---------------------------------------------------------------------------


def taken(one: Decider[Any, Any, Any]) -> MemoryEventStore:
    """Take a snapshot of a stream of one event."""
    store = MemoryEventStore()
    event = COUNTER.codec.encode(Added(amount=1))
    store.append(Commit("counter-1", 1, (event,), "c", datetime(2026, 1, 1, tzinfo=UTC)), after=Head("counter-1", 0))
    take_snapshot(store, one, "counter-1", 1)
    return store


class Aliased(BaseModel, frozen=True, extra="forbid"):
    total: int = Field(0, alias="sum")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.total


def test_a_state_with_aliases_and_computed_fields_comes_back() -> None:
    one = decider(Aliased(sum=3))
    loaded = load(taken(one), one, "counter-1")
    assert (loaded.snapshot_version, loaded.state) == (1, Aliased(sum=3))


class Measured(BaseModel, frozen=True):
    most: float | None = None


class Secret(BaseModel, frozen=True):
    total: int = Field(0, exclude=True)


class Hidden(BaseModel):
    _total: int = PrivateAttr(0)


def hidden(total: int) -> Hidden:
    state = Hidden()
    state._total = total
    return state


@pytest.mark.parametrize("state", [Measured(most=math.inf), Secret(total=1), hidden(1)])
def test_a_state_that_would_come_back_different_is_not_kept(state: BaseModel) -> None:
    with pytest.raises(UnstableStateError, match=f"^{type(state).__name__} does not survive"):
        taken(decider(state))


def test_a_raised_state_version_replays_from_the_first_event() -> None:
    """A corrected `evolve` of the same shape: the state of old snapshots is wrong."""

    def doubled(state: Any, event: Added) -> Any:
        return type(state)(total=state.total + 2 * event.amount)

    store = taken(COUNTER)
    corrected = replace(COUNTER, evolve=doubled)  # type: ignore[arg-type]
    assert load(store, corrected, "counter-1").state.total == 1  # wrong, and nothing says so
    raised = replace(corrected, state_version=2)
    loaded = load(store, raised, "counter-1")
    assert (loaded.state.total, loaded.snapshot_version) == (2, 0)
    assert take_snapshot(store, raised, "counter-1", 1) is not None
    loaded = load(store, raised, "counter-1")
    assert (loaded.state.total, loaded.snapshot_version) == (2, 1)
