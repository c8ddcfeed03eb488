"""Running the parts of a long read side by side, in processes, with what they tell on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

    from eventfold.application import Application

_POLL_SECONDS = 0.2
_worker: list[Line] = []


class WorkerKilledError(Exception):
    """A worker process ended without an answer."""


@dataclass(frozen=True)
class Line:
    """A worker's line to whoever started it, and the application on the stack's tables."""

    app: Application
    tell: Callable[[Any], None]
    stop: Callable[[], bool]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Start worker processes that Ctrl-C does not reach, not even while they start: the parent tells them to stop.

    A process has its parent's signal mask from its first moment on. What comes meanwhile is handled here afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cores() -> int:
    """Return how many processes this machine runs at a time."""
    return os.process_cpu_count() or 1


class Workers:
    """Processes that stay for several rounds of jobs; one worker is this process itself.

    `connect` is called once in each process.
    """

    def __init__(self, connect: Callable[[], Application], workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # A fork would share the parent's connections and locks.
        self._stop: Event = context.Event()
        self._told: Queue[Any] = context.Queue()
        started = (connect, self._stop, self._told)
        self._pool = ProcessPoolExecutor(workers, context, _start, started) if workers > 1 else None
        self._connect = connect

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Tell those that still work to stop, and wait for them."""
        self._stop.set()
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run[J, R](
        self, work: Callable[[Line, J], R], jobs: Sequence[J], hear: Callable[[Any], None] = lambda _: None
    ) -> list[R]:
        """Do the jobs, so many at a time, and return what each gave. `hear` gets what `work` tells, in this process.

        `work` is a module's own function, and all that it takes, tells and returns can be pickled.

        Raises:
            WorkerKilledError: a worker was killed. Whatever a job raises, is raised.
        """
        if self._pool is None:
            line = Line(self._connect(), hear, lambda: False)
            return [work(line, job) for job in jobs]
        with uninterrupted():
            futures = [self._pool.submit(_run, work, job) for job in jobs]
        try:
            _listen(futures, self._told, hear)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise WorkerKilledError("A worker process was killed. Nothing was changed: run it again.") from error


def _listen[R](futures: Sequence[Future[R]], told: Queue[Any], hear: Callable[[Any], None]) -> None:
    """Hear what is told until every job has said that it is done, or one has failed."""
    done = 0
    while done < len(futures):
        try:
            message = told.get(timeout=_POLL_SECONDS)
        except Empty:
            for future in wait(futures, 0, FIRST_EXCEPTION).done:
                future.result()
            continue
        if message is None:
            done += 1
        else:
            hear(message)


def _start(connect: Callable[[], Application], stop: Event, told: Queue[Any]) -> None:
    """Connect a worker to the stack."""
    _worker[:] = [Line(connect(), told.put, stop.is_set)]


def _run[J, R](work: Callable[[Line, J], R], job: J) -> R:
    line = _worker[0]
    result = work(line, job)
    line.tell(None)  # Behind all that it told: a queue keeps each process's order.
    return result
