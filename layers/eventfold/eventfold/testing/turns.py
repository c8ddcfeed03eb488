"""Threads that take turns, in a time of their own: races and timeouts that a seed reproduces.

One thread runs at a time. At each request that a watched client sends, and wherever else `take` is called, the seed
picks who goes on among those whose pause is over. Every interleaving of requests can come up, and the same seed brings
the same one up again. An hour's pause takes no time: where all pause, the clock moves on to the first that wakes up.
"""

from __future__ import annotations

import math
import random
import sys
import threading
import traceback
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest import mock

from eventfold.testing.faults import CrashError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

REQUEST_SECONDS = 0.005
"""What a turn takes of the workers' time: about one request."""
PATIENCE = 120.0
"""Real seconds without a turn after which a worker counts as blocked: longer than any request may take."""


class StuckError(RuntimeError):
    """The workers don't come to an end; the message says where each of them is."""


class _StoppedError(BaseException):
    """Ends a thread because another one has failed."""


@dataclass(slots=True, eq=False)
class _Worker:
    name: str
    run: Callable[[], None]
    wakes: float = 0
    dies: float = math.inf
    gate: threading.Lock = field(default_factory=threading.Lock)
    thread: threading.Thread | None = None

    def place(self) -> str:
        """Say where the worker is in its code: the innermost calls, what waits for the turn left out."""
        frame = sys._current_frames().get(self.thread.ident or 0) if self.thread else None  # noqa: SLF001 - the one way
        calls = [call for call in traceback.extract_stack(frame) if call.filename not in _WAITING] if frame else []
        return " < ".join(f"{call.name} ({call.filename.rpartition('/')[2]}:{call.lineno})" for call in calls[:-5:-1])


class InlineExecutor(Executor):
    """In the place of a thread pool: who submits does the work at once, in its own turn."""

    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "") -> None:
        del max_workers, thread_name_prefix

    def submit[**P, T](self, run: Callable[P, T], /, *args: P.args, **more: P.kwargs) -> Future[T]:
        """Do it now; the future is done."""
        future: Future[T] = Future()
        try:
            future.set_result(run(*args, **more))
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the future keeps it
            future.set_exception(failure)
        return future


_WAITING = {__file__, threading.__file__}


class Turns:
    """Runs workers, each in a thread of its own. `now` is the time that they live in: seconds since the beginning."""

    def __init__(self, seed: int, *, patience: float = PATIENCE) -> None:
        self.now = 0.0
        self.taken = 0
        """Turns so far."""
        self._random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self._patience = patience
        self._end = math.inf
        self._workers: list[_Worker] = []
        self._me = threading.local()
        self._failure: BaseException | None = None
        self._all_ended = threading.Event()

    def watch(self, client: DynamoDBClient) -> None:
        """Let each request of this client be a moment at which another thread may go on."""
        client.meta.events.register_first("before-send.dynamodb", self._at_request)

    def run(self, workers: Mapping[str, Callable[[], None]], *, seconds: float = math.inf) -> None:
        """Run all workers to their end. The first one that raises stops the others, and its error is raised.

        Raises:
            StuckError: that took more than so many of the workers' own seconds, or one of them blocks for ever.
        """
        self._end = self.now + seconds
        self._all_ended.clear()
        self._workers = [_Worker(name, run, self.now) for name, run in workers.items()]
        for worker in self._workers:
            worker.gate.acquire()
            worker.thread = threading.Thread(target=self._work, args=[worker], name=worker.name, daemon=True)
            worker.thread.start()
        self._next()
        seen = -1
        while not self._all_ended.wait(self._patience):
            if self.taken == seen:  # Nobody can stop what blocks; this process can still say so and end.
                self._failure = self._stuck(f"Nobody has taken a turn for {self._patience:g} s.")
                break
            seen = self.taken
        if self._failure is not None:
            raise self._failure

    def take(self, seconds: float = 0) -> None:
        """Let others go on for so long at least. From a thread that is no worker's, nothing happens."""
        me: _Worker | None = getattr(self._me, "worker", None)
        if me is None:
            return
        if self._failure is None:
            me.wakes = self.now + seconds
            self.now += REQUEST_SECONDS
            if self.now > self._end:  # Not raised: code under test may catch whatever is an exception.
                self._failure = self._stuck("The time is over.")
                raise _StoppedError
            self._next()
            me.gate.acquire()
        if self._failure is not None:
            raise _StoppedError
        if self.now > me.dies:
            me.dies = math.inf
            raise CrashError("out of time")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let this worker's process die if it takes longer, as Lambda ends an invocation that is out of time."""
        me: _Worker | None = getattr(self._me, "worker", None)
        if me is None:
            yield
            return
        me.dies = self.now + seconds
        try:
            yield
        finally:
            me.dies = math.inf

    @contextmanager
    def instead_of_time(self) -> Iterator[None]:
        """Let what this process waits with `time.sleep`, and reads off `time.monotonic`, be the workers' own time."""
        with mock.patch("time.sleep", self.take), mock.patch("time.monotonic", self._monotonic):
            yield

    def _monotonic(self) -> float:
        return self.now

    def _at_request(self, **_: object) -> None:
        self.take()

    def _next(self) -> None:
        self.taken += 1
        awake = [worker for worker in self._workers if worker.wakes <= self.now]
        if not awake:
            self.now = min(worker.wakes for worker in self._workers)
            awake = [worker for worker in self._workers if worker.wakes <= self.now]
        self._random.choice(awake).gate.release()

    def _work(self, worker: _Worker) -> None:
        self._me.worker = worker
        worker.gate.acquire()
        try:
            if self._failure is None:
                worker.run()
        except _StoppedError:
            pass
        except BaseException as failure:  # noqa: BLE001 - whatever it is, `run` raises it
            self._failure = self._failure or failure
        finally:
            self._workers.remove(worker)
            if self._workers:
                self._next()
            else:
                self._all_ended.set()

    def _stuck(self, why: str) -> StuckError:
        lines = [f"  {one.name}, wakes at {one.wakes:.1f} s: {one.place()}" for one in self._workers]
        return StuckError("\n".join([f"{why} It is {self.now:.1f} s, and these have not ended:", *lines]))
