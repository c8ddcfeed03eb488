"""Threads that take turns: races that a seed reproduces.

One thread runs at a time. At each request that a watched client sends, and wherever else `take` is called, the seed
picks who goes on. Every interleaving of requests can come up, and the same seed brings the same one up again.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient


class _StoppedError(BaseException):
    """Ends a thread because another one has failed."""


class Turns:
    """Runs workers, each in a thread of its own."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self._gates: dict[int, threading.Semaphore] = {}
        self._me = threading.local()
        self._failure: BaseException | None = None

    def watch(self, client: DynamoDBClient) -> None:
        """Let each request of this client be a moment at which another thread may go on."""
        client.meta.events.register_first("before-send.dynamodb", self._at_request)

    def run(self, workers: Sequence[Callable[[], None]]) -> None:
        """Run all workers to their end. The first one that raises stops the others, and its error is raised."""
        self._gates = {number: threading.Semaphore(0) for number in range(len(workers))}
        threads = [threading.Thread(target=self._work, args=pair, daemon=True) for pair in enumerate(workers)]
        for thread in threads:
            thread.start()
        self._next()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def take(self, _seconds: float = 0) -> None:
        """Let another thread go on, perhaps. In the place of a pause: it takes no time."""
        me = getattr(self._me, "number", None)
        if me is None:
            return
        self._next()
        self._gates[me].acquire()
        if self._failure is not None:
            raise _StoppedError

    def _at_request(self, **_: object) -> None:
        self.take()

    def _next(self) -> None:
        if self._gates:
            self._gates[self._random.choice(list(self._gates))].release()

    def _work(self, number: int, worker: Callable[[], None]) -> None:
        self._me.number = number
        self._gates[number].acquire()
        try:
            if self._failure is None:
                worker()
        except _StoppedError:
            pass
        except BaseException as failure:  # noqa: BLE001 - whatever it is, `run` raises it
            self._failure = self._failure or failure
        finally:
            del self._gates[number]
            self._next()
