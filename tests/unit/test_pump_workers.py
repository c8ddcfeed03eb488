"""The stream pump's workers: who reads and who works on a lane come to an end together, with nothing left unread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from eventfold.testing.mapping import EventSourceMapping
from eventfold.testing.pump import Disorder, StreamPump
from eventfold.testing.turns import StuckError, Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.testing.shards import Record

LANES = 4


class Stage:
    """A writer, a stream, and a pump whose function may fail; each is a worker that takes turns."""

    def __init__(self, seed: int, *, fails: float = 0, **disorder: float) -> None:
        self.turns = Turns(seed)
        self.written: list[Record] = []
        self.seen: set[str] = set()
        self.is_over = False
        self._fails = fails
        self._read = 0
        self.pump = StreamPump(
            EventSourceMapping(parallelization_factor=LANES, batch_size=3, bisect=True),
            self._new,
            self._function,
            disorder=Disorder(seed, **disorder),  # type: ignore[arg-type] # rates by name
        )

    def write(self, records: int) -> None:
        for number in range(records):
            keys = {"stream": {"S": "thing-1"}, "version": {"N": str(number)}}
            change = {"Keys": keys, "SequenceNumber": str(number), "ApproximateCreationDateTime": 0}
            self.written.append({"eventName": "INSERT", "dynamodb": change})
            self.turns.take()
        self.is_over = True

    def _new(self) -> Iterator[tuple[str, Record]]:
        self.turns.take()  # A request: what is written meanwhile comes with the next one.
        self._read, before = len(self.written), self._read
        yield from (("shard", record) for record in self.written[before : self._read])

    def _function(self, event: dict[str, Any], _: object) -> None:
        self.turns.take()
        numbers = {record["dynamodb"]["SequenceNumber"] for record in event["Records"]}
        if self.turns.taken % 100 < self._fails * 100:
            raise ZeroDivisionError
        self.seen |= numbers

    def run(self, records: int = 30) -> None:
        take = self.turns.take
        lanes = {f"lane {n}": partial(self.pump.work_on, n, pause=take) for n in range(LANES)}
        reader = {"reader": partial(self.pump.read_on, pause=take, is_over=lambda: self.is_over)}
        self.turns.run({"writer": partial(self.write, records), **reader, **lanes}, seconds=3600)


@pytest.mark.parametrize("seed", range(20))
def test_the_workers_end_once_every_record_is_done(seed: int) -> None:
    stage = Stage(seed, fails=0.3, duplicates=0.3, late=0.3)
    stage.run()
    assert len(stage.seen) == 30
    assert stage.pump.waiting == 0


def test_a_record_that_fails_for_ever_is_told_and_not_waited_for() -> None:
    stage = Stage(0, fails=1)
    with pytest.raises(StuckError, match="lane"):
        stage.run(3)
