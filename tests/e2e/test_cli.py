"""The operator's verbs on the deployed stack, as programs: no flags, from a folder below the project's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from drills import rebuild as rebuild_drill
from local.stack import STACK
from local.toolchain import REGION
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from local.stack import Stack

pytestmark = pytest.mark.stack

PROGRAM = [sys.executable, "-m", "eventfold.cli.main"]
DEADLINE_SECONDS = 60


def on_stack(deployed: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as for a stack on AWS: one that is named."""
    reached = {"AWS_ENDPOINT_URL": deployed.endpoint_url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return subprocess.run(  # noqa: S603
        [*PROGRAM, "--stack", STACK, "--region", REGION, *words],
        env=os.environ | reached,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture
def folder(deployed: Stack, tmp_path: Path) -> Path:
    """A folder below one where the local stack seems to run."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "api-url").write_text(deployed.api_url + "\n")
    shutil.copy(ROOT / "template.yaml", tmp_path)
    below = tmp_path / "deep"
    below.mkdir()
    return below


def run(folder: Path, *arguments: str, code: int = 0, **more: Any) -> str:
    done = subprocess.run([*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False, **more)  # noqa: S603
    assert (done.returncode, done.stderr) == (code, ""), done.stdout
    out: str = done.stdout
    return out


@pytest.fixture
def user(api: httpx.Client) -> str:
    """A user with two events, projected; the name of its stream."""
    id_: str = api.post("/users", json={"name": "Ada"}).json()["id"]
    api.patch(f"/users/{id_}", json={"name": "Grace"})
    deadline = time.monotonic() + DEADLINE_SECONDS
    while api.get(f"/users/{id_}").json().get("version") != 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return f"user-{id_}"


def test_streams_and_snapshots(folder: Path, user: str) -> None:
    assert user in {one["stream"] for one in json.loads(run(folder, "stream", "list", "--limit", "9999", "--json"))}
    shown = json.loads(run(folder, "stream", "show", user, "--json"))
    assert [(one["version"], one["type"]) for one in shown] == [(1, "UserCreated"), (2, "UserUpdated")]
    assert json.loads(run(folder, "stream", "state", user, "--version", "1", "--json"))["state"]["name"] == "Ada"
    assert run(folder, "stream", "diff", user, "1", "2", code=1) == "name: 'Ada' -> 'Grace'\n"
    assert run(folder, "snapshot", "take", user) == f"{user} at version 2: taken\n"
    (snapshot,) = json.loads(run(folder, "snapshot", "list", user, "--json"))
    assert (snapshot["version"], snapshot["used"]) == (2, True)


def test_events_as_they_come_until_ctrl_c(folder: Path, api: httpx.Client) -> None:
    program = [*PROGRAM, "events", "tail", "--category", "user"]
    tail = subprocess.Popen(program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert tail.stderr is not None
        assert tail.stderr.readline() == "Waiting for events; Ctrl-C ends.\n"
        time.sleep(3)  # Its first look at the stream.
        id_ = api.post("/users", json={"name": "Tail"}).json()["id"]
        time.sleep(4)
        tail.send_signal(signal.SIGINT)
        out, err = tail.communicate(timeout=DEADLINE_SECONDS)
    finally:
        tail.kill()
    assert (tail.returncode, err) == (0, "")
    assert f"  user-{id_} 1  UserCreated v2" in out


def test_events_as_json(folder: Path, api: httpx.Client) -> None:
    program = [*PROGRAM, "events", "tail", "--json", "--limit", "1"]
    tail = subprocess.Popen(program, cwd=folder, stdout=subprocess.PIPE, text=True)  # noqa: S603
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        while tail.poll() is None and time.monotonic() < deadline:
            api.post("/users", json={"name": "Tail"})
            time.sleep(0.5)
        out, _ = tail.communicate(timeout=DEADLINE_SECONDS)
    finally:
        tail.kill()
    assert json.loads(out)["type"] == "UserCreated"


def test_what_is_exported_is_there_at_an_import_and_verified(folder: Path, user: str) -> None:
    exported = json.loads(run(folder, "export", "events.ndjson.gz", "--json"))
    assert exported["commits"] >= 2
    imported = json.loads(run(folder, "import", "events.ndjson.gz", "--json"))
    assert (imported["commits"], imported["there"]) == (0, exported["commits"])
    verified = run(folder, "verify", "--segments", "3", "--workers", "2")
    assert verified.startswith("✓ All as it should be: ")


def test_an_import_wakes_the_projections(folder: Path, api: httpx.Client, user: str) -> None:
    exported = run(folder, "export", "events.ndjson") and (folder / "events.ndjson").read_text().splitlines()
    id_ = str(uuid.uuid4())
    moved = [line.replace(user, f"user-{id_}") for line in exported if f'"{user}"' in line]
    (folder / "moved.ndjson").write_text("\n".join([exported[0], *moved]))
    told, next_ = run(folder, "import", "moved.ndjson").splitlines()
    assert told == "✓ imported: 1 streams, 2 events."
    assert "eventfold claims build" in next_
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (answer := api.get(f"/users/{id_}")).status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.json()["name"] in {"Ada", "Grace"}


def test_the_doctor_finds_nothing_on_a_fresh_stack_and_what_is_broken(folder: Path, deployed: Stack) -> None:
    lines = json.loads(run(folder, "doctor", "--json"))
    levels = {(line["about"], line["level"]) for line in lines}
    assert {level for _, level in levels} == {"ok", "not told here"}
    assert ("EventsTable", "not told here") in levels
    assert {about for about, level in levels if level == "ok"} >= {"SnapshotsMapping", "RedriveFunction", "parked"}
    function = deployed.function_name("RedriveFunction")
    variables = deployed.functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    broken: Any = {"Variables": {**variables, "EVENTS_TABLE": "other"}}
    deployed.functions.update_function_configuration(FunctionName=function, Environment=broken)
    try:
        assert "✗ RedriveFunction: its environment is another: EVENTS_TABLE\n" in run(folder, "doctor", code=1)
    finally:
        deployed.functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})


def test_the_program_is_the_one_that_is_installed(folder: Path) -> None:
    done = subprocess.run([ROOT / ".venv/bin/eventfold", "--help"], cwd=folder, check=True, capture_output=True)  # noqa: S603
    assert b"doctor" in done.stdout


def test_the_drill_finds_the_application_away_from_the_project(folder: Path) -> None:
    listed = rebuild_drill._cli(folder.parent, "projection", "list", "--json")
    assert "directory" in json.dumps(listed.answer)
