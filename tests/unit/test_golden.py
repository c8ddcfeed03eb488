"""Every event that was ever stored is still read: the golden files, and what their check finds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app import main
from app.users.rules import USERS
from eventfold.testing.golden import check_golden, write_golden
from local import golden
from tests.support import ROOT

if TYPE_CHECKING:
    pass

GOLDEN = ROOT / "tests" / "golden" / "user"

IN_ENGLISH = '''@upcaster("UserCreated", 2)
def in_english(data: Data) -> Data:
    """Read a user from before locales."""
    return {**data, "locale": "en"}


type UserEvent ='''
VERSION_3 = [
    ('name="UserCreated", version=2', 'name="UserCreated", version=3'),
    (
        "    email: str | None = None\n\n\nclass UserUpdated",
        "    email: str | None = None\n    locale: str\n\n\nclass UserUpdated",
    ),
    (
        "type UserEvent =",
        IN_ENGLISH,
    ),
    ("upcasters=(without_id,)", "upcasters=(without_id, in_english)"),
    (
        "UserCreated(name=command.name, email=command.email)",
        'UserCreated(name=command.name, email=command.email, locale="en")',
    ),
]
CHECK = """
import sys
from pathlib import Path
from app.users.rules import USERS
from app.users.directory import DIRECTORY
from eventfold import Commit, Head, load
from eventfold.memory import MemoryEventStore
from eventfold.testing.golden import check_golden, write_golden
from datetime import UTC, datetime
folder = Path(sys.argv[1])
written = write_golden(USERS, folder, {("UserCreated", 3): {"name": "Ada", "email": None, "locale": "fr"}})
print("written", *(file.name for file in written))
check_golden(USERS, folder)
for v, data in ((1, {"id": "1", "name": "A"}), (2, {"name": "A", "email": None}), (3, {"name": "A", "email": None, "locale": "fr"})):
    store = MemoryEventStore()
    commit = Commit("user-1", 1, ({"type": "UserCreated", "v": v, "data": data},), "c", datetime.now(UTC))
    store.append(commit, after=Head("user-1", 0))
    assert load(store, USERS, "user-1").state.name == "A"
    row = DIRECTORY.catch_up(store, "user-1", None)
    assert (row.version, '"name":"A"' in row.data) == (1, True)
print("read")
"""


@pytest.mark.parametrize("category", main.application.deciders)
def test_every_stored_version_of_every_aggregate_is_still_read(category: str) -> None:
    check_golden(main.application.deciders[category], golden.GOLDEN / category)


@pytest.mark.parametrize("category", main.application.deciders)
def test_no_file_is_missing_and_none_is_left_over(category: str) -> None:
    folder = golden.GOLDEN / category
    examples = golden.examples(folder)
    assert write_golden(main.application.deciders[category], folder, examples) == []
    events = {f"{name}.v{version}.json" for name, version in examples}
    assert {file.name for file in folder.iterdir()} == {"states.json", golden.EXAMPLES, *events}


def test_the_first_shape_of_a_created_user_is_read_without_its_id() -> None:
    golden = json.loads((GOLDEN / "UserCreated.v1.json").read_text())
    assert golden["stored"]["data"] == {"id": "7f6c", "name": "Ada Lovelace"}
    assert golden["reads_as"] == [{"type": "UserCreated", "v": 2, "data": {"name": "Ada Lovelace", "email": None}}]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the application and its golden files, to be changed."""
    shutil.copytree(ROOT / "layers" / "app" / "app", tmp_path / "app")
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return tmp_path


def change(copy: Path, *changes: tuple[str, str]) -> None:
    """Change `users/rules.py`, and nothing else."""
    users = copy / "app" / "users" / "rules.py"
    text = users.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    users.write_text(text)


def check(copy: Path) -> subprocess.CompletedProcess[str]:
    """Check the copy's golden files and read each version, in a process of its own."""
    path = f"{copy}:{ROOT / 'layers' / 'eventfold'}"
    command = [sys.executable, "-c", CHECK, str(copy / "golden")]
    return subprocess.run(  # noqa: S603 - this very Python
        command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def test_a_third_version_touches_the_aggregate_its_golden_file_and_one_upcaster(copy: Path) -> None:
    before = {file.name: file.read_text() for file in (copy / "golden").iterdir()}
    change(copy, *VERSION_3)
    done = check(copy)
    assert (done.returncode, done.stdout.split()) == (0, ["written", "UserCreated.v3.json", "states.json", "read"]), (
        done.stderr
    )
    after = {file.name: file.read_text() for file in (copy / "golden").iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"states.json"}


def test_a_third_version_without_its_upcaster_is_refused(copy: Path) -> None:
    change(copy, *VERSION_3[:2], VERSION_3[4])
    done = check(copy)
    assert done.returncode != 0
    assert "leads to 'UserCreated' version 2, which the code does not have" in done.stderr
    assert "write the next upcaster" in done.stderr


def test_an_edit_in_place_of_a_new_version_is_refused(copy: Path) -> None:
    change(copy, VERSION_3[1], VERSION_3[4])
    done = check(copy)
    assert done.returncode != 0
    assert "UserCreated version 2 has changed, and events are stored in its old shape" in done.stderr
    assert "give the event version=3 with an upcaster from 2" in done.stderr


def test_an_upcaster_that_reads_something_else_is_found(copy: Path) -> None:
    change(copy, ('return {"name": data["name"], "email": None}', 'return {"name": "?", "email": None}'))
    assert "UserCreated version 1 is read as" in check(copy).stderr


def test_an_evolve_that_makes_another_state_is_found(copy: Path) -> None:
    change(
        copy,
        (
            'return User(status="active", name=event.name, email=event.email)',
            'return User(status="active", name=event.name)',
        ),
    )
    done = check(copy)
    assert "UserCreated.v2: another state is made of it than before" in done.stderr
    assert "Raise the decider's `state_version`, and write states.json" in done.stderr
    change(copy, ("    upcasters=(without_id,),\n", "    upcasters=(without_id,),\n    state_version=2,\n"))
    done = check(copy)
    assert done.stdout.split() == ["written", "states.json"]
    assert "another state" not in done.stderr


def test_a_missing_file_is_found(copy: Path) -> None:
    (copy / "golden" / "UserDeleted.v1.json").unlink()
    with pytest.raises(AssertionError, match=r"UserDeleted.v1.json is missing"):
        check_golden(USERS, copy / "golden")
