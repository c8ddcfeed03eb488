"""Jobs in processes: what they give, what they tell, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from eventfold.application import Application
from eventfold.cli.parallel import Line, WorkerKilledError, Workers

if TYPE_CHECKING:
    from pathlib import Path


def connect() -> Application:
    """There is nothing to connect to."""
    return Application()


def square(line: Line, number: int) -> int:
    for told in range(3):
        line.tell((number, told))
    return number * number


def fail(_: Line, number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


def die(_: Line, number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_give_their_results_in_order_and_everything_told_is_heard(workers: int) -> None:
    heard: list[Any] = []
    with Workers(connect, workers) as pool:
        assert pool.run(square, [3, 1, 2], heard.append) == [9, 1, 4]
        assert sorted(heard) == [(number, told) for number in (1, 2, 3) for told in range(3)]
        assert pool.run(square, [5]) == [25]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised(workers: int) -> None:
    with Workers(connect, workers) as pool, pytest.raises(ValueError, match="two"):
        pool.run(fail, [1, 2, 3])


INTERRUPTED = """
import os, signal
from eventfold.cli.parallel import Workers
if __name__ != "__main__":
    os.kill(os.getpid(), signal.SIGINT)
def nothing(): return None
def same(line, number): return number
if __name__ == "__main__":
    with Workers(nothing, 2) as pool:
        print(pool.run(same, [1, 2]))
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_reaches_no_worker_not_even_one_that_is_starting(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(INTERRUPTED)
    program = [sys.executable, "program.py"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.stdout == "[1, 2]\n"
    assert done.stderr.count("Traceback") == 1  # The parent's own: it still hears Ctrl-C.


def test_a_worker_that_is_killed_is_said_to_be() -> None:
    with Workers(connect, 2) as pool, pytest.raises(WorkerKilledError):
        pool.run(die, [1])
