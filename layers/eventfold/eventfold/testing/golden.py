"""Golden events: one file for each event and version that was ever stored, so that none becomes unreadable unseen.

A file holds the model's JSON schema at that version, an event as the table has it, and what it is read as today:

    def test_every_stored_version_is_still_read() -> None:
        check_golden(USERS, Path("tests/golden/user"))

Files are written by `write_golden`, for new versions alone: one that is there is never written again. `states.json`
holds the state that each of these events makes of the initial one, and is written again only when the fingerprint of
states changes: so it shows another state under the same fingerprint, a `state_version` that nobody raised.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from eventfold.core.stored import StoredEvent
from eventfold.core.upcasting import Data  # noqa: TC001 - pydantic reads the annotation at run time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from eventfold.core.decider import Decider
    from eventfold.core.events import Event
    from eventfold.core.upcasting import Key


STATES = "states.json"


class Golden(BaseModel, frozen=True):
    """One event at one version. `event_schema` is the model's JSON schema; None where it was lost to time."""

    event_schema: dict[str, Any] | None
    stored: StoredEvent
    reads_as: list[StoredEvent]


class GoldenStates(BaseModel, frozen=True):
    """What the golden events make of the initial state, by event and version, and the fingerprint that states had then.

    None where `evolve` does not take the event first.
    """

    fingerprint: str
    states: dict[str, Any]


def check_golden(decider: Decider[Any, Any, Any], folder: Path) -> None:
    """Check an aggregate's golden events.

    Raises:
        AssertionError: names each file that is missing, each version that is no longer read, is read as something else
            or makes another state, and each model that changed without a new version, and says what to do.
    """
    problems = [*_problems(decider, folder)] or [*_problems_of_states(decider, folder)]
    assert not problems, "\n".join(problems)


def write_golden(decider: Decider[Any, Any, Any], folder: Path, examples: Mapping[Key, Data]) -> list[Path]:
    """Write the files that are missing, each with the example data of its version; return what was written.

    Raises:
        KeyError: there is no example for a version whose file is missing.
    """
    written = []
    for key in _keys(decider):
        file = _file(folder, key)
        if not file.exists():
            stored = StoredEvent(type=key[0], v=key[1], data=examples[key])
            golden = Golden(event_schema=_schema(decider, key), stored=stored, reads_as=_reads_as(decider, stored))
            _write(file, golden)
            written.append(file)
    states, before = _states(decider, folder), _states_before(folder)
    if before is None or before.fingerprint != states.fingerprint or before.states.keys() != states.states.keys():
        _write(folder / STATES, states)
        written.append(folder / STATES)
    return written


def _problems(decider: Decider[Any, Any, Any], folder: Path) -> Iterator[str]:
    for key in _keys(decider):
        if not _file(folder, key).exists():
            yield f"{_file(folder, key).name} is missing: write it with `write_golden` and commit it."
    for file in sorted(folder.glob("*.v*.json")):
        golden = TypeAdapter(Golden).validate_json(file.read_text(encoding="utf-8"))
        key = (golden.stored["type"], golden.stored["v"])
        name = f"{key[0]} version {key[1]}"
        schema = _schema(decider, key)
        if schema is not None and schema != golden.event_schema:
            yield (
                f"{name} has changed, and events are stored in its old shape. Take the change back, and give the event "
                f"version={key[1] + 1} with an upcaster from {key[1]}; {file.name} stays as it is."
            )
            continue
        try:
            reads_as = _reads_as(decider, golden.stored)
        except Exception as error:  # noqa: BLE001 - an upcaster is the user's code
            yield (
                f"{name} is stored, and can no longer be read ({error}). Write an upcaster from version {key[1]}, or "
                "keep the event as it was."
            )
            continue
        # Where its successor has moved on to a newer version, what counts is that it is still read.
        if _latest(reads_as) == _latest(golden.reads_as) and reads_as != golden.reads_as:
            yield f"{name} is read as {reads_as}, and was read as {golden.reads_as}. Put its upcaster right."


def _problems_of_states(decider: Decider[Any, Any, Any], folder: Path) -> Iterator[str]:
    now, before = _states(decider, folder), _states_before(folder)
    if before is None or before.fingerprint != now.fingerprint or before.states.keys() != now.states.keys():
        yield f"{STATES} is missing or of an earlier state: write it with `write_golden` and commit it."
    elif changed := sorted(name for name, state in now.states.items() if state != before.states[name]):
        yield (
            f"{', '.join(changed)}: another state is made of it than before, and snapshots of the one before would be "
            f"used on. Raise the decider's `state_version`, and write {STATES} with `write_golden`."
        )


def _states(decider: Decider[Any, Any, Any], folder: Path) -> GoldenStates:
    states: dict[str, Any] = {}
    for file in sorted(folder.glob("*.v*.json")):
        stored = TypeAdapter(Golden).validate_json(file.read_text(encoding="utf-8")).stored
        try:
            events = decider.codec.decode(stored, stream=f"{decider.category}-golden", version=1)
            states[file.stem] = json.loads(decider.dump(decider.fold(decider.initial, events)))
        except Exception:  # noqa: BLE001 - an aggregate is the user's code, and may want another event first
            states[file.stem] = None
    return GoldenStates(fingerprint=decider.schema, states=states)


def _states_before(folder: Path) -> GoldenStates | None:
    file = folder / STATES
    return GoldenStates.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else None


def _write(file: Path, golden: Golden | GoldenStates) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(golden.model_dump(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _keys(decider: Decider[Any, Any, Any]) -> list[Key]:
    return sorted({*decider.codec.types, *decider.codec.upcasters.sources})


def _file(folder: Path, key: Key) -> Path:
    return folder / f"{key[0]}.v{key[1]}.json"


def _schema(decider: Decider[Any, Any, Any], key: Key) -> dict[str, Any] | None:
    model: type[Event] | None = decider.codec.types.get(key)
    return model.model_json_schema() if model else None


def _reads_as(decider: Decider[Any, Any, Any], stored: StoredEvent) -> list[StoredEvent]:
    events = decider.codec.decode(stored, stream=f"{decider.category}-golden", version=1)
    return [decider.codec.encode(event) for event in events]


def _latest(events: list[StoredEvent]) -> list[Key]:
    return [(one["type"], one["v"]) for one in events]
