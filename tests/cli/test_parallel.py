"""Jobs in processes: what they give, what they tell, and how they end."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from cli.parallel import Line, WorkerKilledError, Workers


def connect() -> None:
    """There is nothing to connect to."""


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


def test_a_worker_that_is_killed_is_said_to_be() -> None:
    with Workers(connect, 2) as pool, pytest.raises(WorkerKilledError):
        pool.run(die, [1])
