"""Threads that take turns: a seed brings the same interleaving again, pauses take no time, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from eventfold.testing.faults import CrashError
from eventfold.testing.turns import InlineExecutor, StuckError, Turns


def order(seed: int) -> str:
    turns, seen = Turns(seed), []

    def work(name: str) -> None:
        for _ in range(5):
            seen.append(name)
            turns.take()

    turns.run({name: partial(work, name) for name in "abc"})
    return "".join(seen)


def test_a_seed_brings_the_same_interleaving_again_and_another_one_another() -> None:
    assert order(1) == order(1)
    assert len({order(seed) for seed in range(5)}) > 1
    assert sorted(order(1)) == sorted("abc" * 5)


def test_who_pauses_wakes_up_in_time_and_an_hour_takes_none() -> None:
    turns, seen = Turns(0), []

    def work(seconds: float) -> None:
        time.sleep(seconds)
        seen.append((seconds, round(time.monotonic())))

    with turns.instead_of_time():
        turns.run({str(seconds): partial(work, seconds) for seconds in (3600, 7, 60)})
    assert seen == [(7, 7), (60, 60), (3600, 3600)]


def test_the_first_error_stops_the_others_and_is_raised() -> None:
    turns = Turns(0)

    def run() -> None:
        while True:
            turns.take()

    with pytest.raises(ZeroDivisionError):
        turns.run({"runs": run, "fails": fail})


def test_who_never_ends_is_told_by_name_and_place() -> None:
    turns = Turns(0)

    def forever() -> None:
        while True:
            with suppress(Exception):  # As a runner does with what a projection raises.
                turns.take(1)

    with pytest.raises(StuckError, match=r"(?s)The time is over.*\n  the lane, wakes at .*forever \(test_turns.py:\d+"):
        turns.run({"the lane": forever, "another": turns.take}, seconds=100)


def test_who_blocks_is_told_by_name_and_place() -> None:
    turns, blocked = Turns(0), threading.Event()

    class Patience(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return not blocked.wait()

    def block() -> None:
        blocked.set()
        threading.Event().wait()

    turns._all_ended = Patience()
    with pytest.raises(
        StuckError, match=r"(?s)Nobody has taken a turn.*\n  the lane, wakes at .*block \(test_turns.py"
    ):
        turns.run({"the lane": block})


def test_a_process_that_takes_too_long_dies_of_it() -> None:
    turns, died = Turns(0), []

    def invocation(seconds: float) -> None:
        try:
            with turns.within(60):
                turns.take(seconds)
        except CrashError:
            died.append(seconds)
        turns.take(600)

    turns.run({str(seconds): partial(invocation, seconds) for seconds in (59, 61)})
    assert died == [61]


def test_an_inline_executor_works_in_the_turn_of_who_submits() -> None:
    turns, order = Turns(0), []

    def work(name: str) -> None:
        with InlineExecutor(4) as pool:
            pool.submit(turns.take, 10).result()
            order.append((name, turns.now >= 10))
            assert isinstance(pool.submit(fail).exception(), ZeroDivisionError)

    turns.run({name: partial(work, name) for name in "ab"})
    assert sorted(order) == [("a", True), ("b", True)]


def fail() -> None:
    raise ZeroDivisionError
