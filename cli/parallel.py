"""Running the parts of a long read side by side, in processes, with what they tell on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

_POLL_SECONDS = 0.2
_worker: list[Line] = []


class WorkerKilledError(Exception):
    """A worker process ended without an answer."""


@dataclass(frozen=True)
class Line:
    """A worker's line to whoever started it."""

    tell: Callable[[Any], None]
    stop: Callable[[], bool]


def cores() -> int:
    """Return how many processes this machine runs at a time."""
    return os.process_cpu_count() or 1


def in_parallel[J, R](
    connect: Callable[[], None],
    workers: int,
    work: Callable[[Line, J], R],
    jobs: Sequence[J],
    hear: Callable[[Any], None] = lambda _: None,
) -> list[R]:
    """Do the jobs, so many at a time, and return what each gave. One worker is this process itself.

    `connect` is called once in each process. `hear` gets what `work` tells, in this process. `work` is a module's own
    function, and all that it takes, tells and returns can be pickled.

    Raises:
        WorkerKilledError: a worker was killed. Whatever a job raises, is raised; the others are stopped.
    """
    if workers == 1 or len(jobs) == 1:
        return [work(Line(hear, lambda: False), job) for job in jobs]
    context = multiprocessing.get_context("spawn")  # A fork would share the parent's connections and locks.
    stop, told = context.Event(), context.Queue()
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (connect, stop, told)) as pool:
        futures = [pool.submit(_run, work, job) for job in jobs]
        try:
            _listen(futures, told, hear)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise WorkerKilledError("A worker process was killed. Nothing was changed: run it again.") from error
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            _drain(told, hear)


def _listen[R](futures: Sequence[Future[R]], told: Queue[Any], hear: Callable[[Any], None]) -> None:
    left = set(futures)
    while left:
        ended, left = wait(left, 0, FIRST_EXCEPTION)
        for future in ended:
            future.result()
        try:
            hear(told.get(timeout=_POLL_SECONDS))
        except Empty:
            continue


def _drain(told: Queue[Any], hear: Callable[[Any], None]) -> None:
    """Hear what is left: a process has put all of it into the queue before it ends."""
    while True:
        try:
            hear(told.get(timeout=_POLL_SECONDS))
        except Empty:
            return


def _start(connect: Callable[[], None], stop: Event, told: Queue[Any]) -> None:
    """Connect a worker to the stack. Ctrl-C reaches it too: the parent tells it to stop, in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker[:] = [Line(told.put, stop.is_set)]
    connect()


def _run[J, R](work: Callable[[Line, J], R], job: J) -> R:
    return work(_worker[0], job)
