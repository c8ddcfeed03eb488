"""Nothing outlives whoever started it, however that one ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local import tether
from local.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import fcntl, pathlib, signal, subprocess, sys, time
def asked(*_):
    pathlib.Path("asked").touch()
    if sys.argv[1] == "obedient": sys.exit(3)
signal.signal(signal.SIGTERM, asked)
held = open("held", "w")
fcntl.flock(held, fcntl.LOCK_EX)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[held.fileno()])
print("ready", flush=True)
time.sleep(600)
time.sleep(600)
"""
"""Holds a lock that a child of its own holds too."""
STARTER = f"""
import pathlib, sys
from local.tether import tethered
with tethered([sys.executable, "-c", {PROGRAM!r}, "obedient"], pathlib.Path(), output=1) as process:
    sys.stdin.read()
sys.exit(process.returncode)
"""


@contextmanager
def starter(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run what starts the program; its standard input ends it in order."""
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_a_killed_starter_takes_its_program_along_and_what_that_started(tmp_path: Path) -> None:
    with starter(tmp_path) as process:
        process.kill()
    with locked(tmp_path / "held", wait=True):
        assert (tmp_path / "asked").exists()


def test_an_orderly_end_waits_for_the_program(tmp_path: Path) -> None:
    with starter(tmp_path) as process:
        process.communicate()
    assert process.returncode == 3
    assert (tmp_path / "asked").exists()
    with locked(tmp_path / "held", wait=False):
        """Its child has ended too."""


def test_a_program_that_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tether, "STOP_SECONDS", 0.01)
    command = [sys.executable, "-c", PROGRAM, "deaf"]
    with (
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, process_group=0) as program,  # noqa: S603
        (tmp_path / "ended").open("w+") as ended,
    ):
        assert program.stdout is not None
        program.stdout.readline()
        monkeypatch.setattr(sys, "stdin", ended)
        tether._end_with_the_starter(program)
        assert program.wait() == -signal.SIGKILL
        tether._kill_group(program.pid)
    with locked(tmp_path / "held", wait=True):
        """Its child has ended too."""
