"""The emulator ends with whoever started it, and is missed when it ends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local import emulator, run, stack
from local.locks import locked
from local.ports import free_port, is_free
from local.toolchain import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.stack

PROGRAM = """
import pathlib, sys, time
from local import emulator, toolchain
from local.locks import locked
def main():
    home = pathlib.Path()
    with locked(home / "lock", wait=False) as lock, emulator.running(int(sys.argv[1]), home, keep=[lock]):
        print("up", flush=True)
        try:
            time.sleep(600)
        finally:
            print("down", flush=True)
toolchain.console.quiet = True
toolchain.main_guard(main)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda one: one.name
)
def test_whatever_ends_the_program_ends_the_emulator_and_lets_it_save(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-c", PROGRAM, str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n", process.communicate()
        if number == signal.SIGHUP:
            process.stdout.close()  # as a terminal that is gone: a write to it fails
        process.send_signal(number)
        assert process.wait() == (-number if number == signal.SIGKILL else 130)
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with locked(tmp_path / "lock", wait=True):  # the emulator holds it too, until it has ended
        assert is_free(port)
    assert list((tmp_path / "state").glob("*.json"))


def kill_the_emulator(home: Path, port: int) -> None:
    os.kill(int((home / "tmp" / f"ministack-{port}.pid").read_text()), signal.SIGKILL)


def test_a_dead_emulator_ends_what_follows_its_logs_with_a_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()

    def follow() -> None:
        with emulator.running(port, tmp_path) as url:
            deployed = stack.Stack(url, {})
            monkeypatch.setattr(stack.Stack, "log_group", lambda _, function: function)
            for name in run.FUNCTIONS:
                deployed.logs.create_log_group(logGroupName=f"{name.capitalize()}Function")
            kill_the_emulator(tmp_path, port)
            for _ in run.follow(deployed):
                """There is nothing to show."""

    with pytest.raises(StepError, match=r"The emulator has ended.*emulator\.log"):
        follow()
    assert is_free(port)


def test_what_was_killed_before_it_had_saved_anything_is_deployed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed: list[str] = []

    def deploy(url: str, parameters: Mapping[str, str] | None) -> stack.Stack:
        deployed.append(url)
        return stack.Stack(url, {"ApiId": "api"})

    monkeypatch.setattr(stack, "local_build", lambda: None)
    monkeypatch.setattr(stack, "deploy", deploy)
    monkeypatch.setattr(stack.Stack, "environment", {})
    monkeypatch.setattr(stack, "_wait", lambda _: None)
    for times in (1, 2):
        port = free_port()
        with stack.running(tmp_path, port) as running:
            assert (tmp_path / "api-url").read_text().strip() == running.api_url
            kill_the_emulator(tmp_path / "stack", port)
        assert not (tmp_path / "api-url").exists()
        assert len(deployed) == times
