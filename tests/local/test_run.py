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

from local.build import LOCAL_BUILD, check_bytecode
from local.emulator import free_port
from local.run import readable
from local.toolchain import StepError
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.stack


@contextmanager
def make_run(home: Path, port: int) -> Iterator[tuple[str, Path]]:
    """Run the stack, yield its API's URL and its output's file, stop it with Ctrl-C."""
    output = home / "output"
    command = [sys.executable, "-m", "local.run", "--port", str(port), "--home", str(home)]
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)  # noqa: S603
    try:
        deadline = time.monotonic() + 120
        while not (home / "api-url").is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (home / "api-url").is_file(), output.read_text()
        yield (home / "api-url").read_text().strip(), output
    finally:
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)  # an impatient second one must not cut the stop short
        code = process.wait(30)
    assert code == 0
    assert "Traceback" not in output.read_text()
    assert not (home / "api-url").exists()


def test_it_says_where_it_is_and_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with make_run(tmp_path, port) as (url, output):
        assert f":{port}/" in url
        created = httpx.post(f"{url}/users", json={"name": "Ada"}, timeout=60).raise_for_status().json()
        time.sleep(2)
        shown = output.read_text()
        assert url in shown
        assert len(re.findall(r"^  curl ", shown, flags=re.MULTILINE)) == 3
        assert "command handled" in shown
        httpx.post(f"{url}/users", json={"name": "Last words"}, timeout=60).raise_for_status()
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", port)) != 0  # nothing is left behind

    started = time.monotonic()
    with make_run(tmp_path, port) as (url, _):
        assert time.monotonic() - started < 30
        names = [user["name"] for user in httpx.get(f"{url}/users", timeout=60).json()["users"]]
        assert names == ["Ada", "Last words"]
        renamed = httpx.patch(f"{url}/users/{created['id']}", json={"name": "Bea"}, timeout=60)
        assert renamed.json()["version"] == 2
        deadline = time.monotonic() + 20
        while httpx.get(f"{url}/users/{created['id']}", timeout=60).json()["version"] != 2:
            assert time.monotonic() < deadline, "the stream does not reach the projections after a restart"
            time.sleep(0.2)


def test_a_taken_port_says_so_and_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "local.run", "--port", str(port), "--home", str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stdout
    assert f"make run PORT={port + 1}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.usefixtures("deployed")
def test_all_that_ships_has_bytecode(tmp_path: Path) -> None:
    check_bytecode(LOCAL_BUILD)
    (tmp_path / "module.py").touch()
    with pytest.raises(StepError, match=r"module\.py has no bytecode"):
        check_bytecode(tmp_path)


def test_logs_are_shown_for_people() -> None:
    line = '{"level":"INFO","message":"projected","timestamp":"2026-01-02 03:04:05,678+0000","version":2}'
    assert readable("projections", line) == "03:04:05 projections projected  version=2"
    assert readable("projections", '{"_aws": {}}') == ""
    assert readable("commands", "START RequestId: 1") == ""
    assert readable("commands", "something else\n") == "commands    something else"
