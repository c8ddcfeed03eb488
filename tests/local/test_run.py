"""`make run` as a user meets it: comes up, says where, keeps its data, refuses a taken port, stops cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from local.locks import locked
from local.ports import free_port, is_free
from local.run import readable
from local.stack import _path_to_read
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.stack


def program(home: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "local.run", "--port", str(port), "--home", str(home)]


@contextmanager
def make_run(home: Path, port: int) -> Iterator[tuple[str, Path, subprocess.Popen[bytes]]]:
    """Run the stack; yield its API's URL, its output's file and its process; stop it with Ctrl-C unless it has ended."""
    output = home / "output"
    with output.open("w") as file:
        process = subprocess.Popen(  # noqa: S603
            program(home, port), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        eventually(lambda: "logs follow" in output.read_text() or process.poll() is not None, output)
        yield (home / "api-url").read_text().strip(), output, process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            os.killpg(process.pid, signal.SIGTERM)  # an impatient second one must not cut the stop short
            assert process.wait() == 0
            assert not (home / "api-url").exists()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in output.read_text()


def eventually(reached: Callable[[], bool], output: Path) -> None:
    deadline = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def test_it_says_where_it_is_and_goes_on_with_its_data_even_after_kill_9(tmp_path: Path) -> None:
    port = free_port()
    with make_run(tmp_path, port) as (url, output, process):
        assert f":{port}/" in url
        created = httpx.post(f"{url}/users", json={"name": "Ada"}, timeout=60).raise_for_status().json()
        eventually(lambda: "command handled" in output.read_text(), output)
        shown = output.read_text()
        assert url in shown
        assert len(re.findall(r"^  curl ", shown, flags=re.MULTILINE)) == 3
        httpx.post(f"{url}/users", json={"name": "Last words"}, timeout=60).raise_for_status()
        process.kill()
        process.wait()
    assert (tmp_path / "api-url").exists(), "nobody was left to remove it"

    with make_run(tmp_path, port) as (url, output, _):
        assert "Deploying" not in output.read_text()
        names = [user["name"] for user in httpx.get(f"{url}/users", timeout=60).json()["users"]]
        assert names == ["Ada", "Last words"]
        user = f"{url}/users/{created['id']}"
        assert httpx.patch(user, json={"name": "Bea"}, timeout=60).json()["version"] == 2
        eventually(lambda: httpx.get(user, timeout=60).json()["version"] == 2, output)
    assert is_free(port), "nothing is left behind"


def refused(home: Path, port: int) -> str:
    """Return what a start says that is refused, before it builds or writes anything."""
    kept = home / "stack" / "state" / "dynamodb.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("data")
    done = subprocess.run(program(home, port), cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    assert (done.returncode, done.stderr) == (1, "")
    assert kept.read_text() == "data"
    assert not (home / "stack" / "emulator.log").exists()
    return done.stdout


def test_a_taken_port_says_so_and_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path, port)
    assert f"Port {port} is taken" in said
    assert f"make run PORT={port + 1}" in said


def test_a_second_one_in_a_folder_says_where_the_first_answers(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", wait=False):
        (tmp_path / "api-url").write_text("http://127.0.0.1:1/first\n")
        assert "it answers at http://127.0.0.1:1/first." in refused(tmp_path, free_port())
        assert (tmp_path / "api-url").read_text() == "http://127.0.0.1:1/first\n"


def test_a_second_one_that_comes_before_the_first_answers_is_refused_too(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", wait=False):
        assert "it is starting or stopping" in refused(tmp_path, free_port())


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        (["POST /accounts", "GET /accounts/{id}/events"], "/accounts/-/events"),
        (["ANY /{proxy+}"], "/-"),
        (["$default"], "/"),
        (["POST /accounts"], None),
        ([], None),
    ],
)
def test_what_is_waited_for_is_any_route_that_reads(routes: list[str], path: str | None) -> None:
    assert _path_to_read(routes) == path


def test_logs_are_shown_for_people() -> None:
    line = '{"level":"INFO","message":"projected","timestamp":"2026-01-02 03:04:05,678+0000","version":2}'
    assert readable("projections", line) == "03:04:05 projections projected  version=2"
    metrics = (
        '{"_aws":{"Timestamp":1767323045678,"CloudWatchMetrics":[{"Metrics":[{"Name":"N"}]}]},"N":[1],"service":"s"}'
    )
    assert readable("projections", metrics) == ""
    said = metrics[:-1] + ',"message":"projected","version":2}'
    assert readable("projections", said) == "03:04:05 projections projected  version=2"
    assert readable("commands", "START RequestId: 1") == ""
    assert readable("commands", "something else\n") == "commands    something else"
