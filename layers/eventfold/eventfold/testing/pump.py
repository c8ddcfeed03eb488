"""A stream pump: hands a DynamoDB stream to a function as Lambda's event source mapping does.

    pump = StreamPump(EventSourceMapping.from_template(path, "ProjectionsMapping"), StreamReader(client, arn), handler)
    pump.drain()
    pump.given_up

What Lambda does, and where AWS says so:

- A batch has records of one shard. With a parallelization factor several batches of a shard run at a time, and order
  is kept by *item*, partition and sort key together: two items of one partition may overtake each other.
  https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
- A batch that fails comes again until it succeeds, is too old, or has used up its retries. What comes behind it waits.
  https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
- With bisect a failed batch is split in two; that uses up no retry (same page).
- With `ReportBatchItemFailures` it comes again from the lowest sequence number that was reported; a report that names
  no record of the batch is a failure of all of it, an empty one a success.
  https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
- What is given up goes to the on-failure destination; a bucket gets the records whole (services-dynamodb-errors).
- Every record arrives at least once, so a function meets duplicates: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html

Where AWS is silent: a report that begins with the batch's first record is a failure of the whole batch.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eventfold.testing.faults import CrashError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eventfold.testing.mapping import EventSourceMapping
    from eventfold.testing.shards import Record

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
_LONGEST_WAIT = 8
_LONGEST_PAUSE = 10.0
_IDLE_SECONDS = 0.25
"""Lambda polls an idle shard four times a second: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html"""


@dataclass(frozen=True)
class GivenUp:
    """What the on-failure bucket gets: the records whole, why, and after how many invocations."""

    condition: str
    """`RetryAttemptsExhausted` or `RecordAgeExceeded`."""
    records: tuple[Record, ...]
    invocations: int


def _as_it_is(record: Record) -> Sequence[Record]:
    return [record]


@dataclass(frozen=True)
class Disorder:
    """What Lambda's promise of "at least once, in order of an item" leaves open, by seed.

    `duplicates` is how often a batch that succeeded comes again, `late` how often a record is held back while others
    overtake it; both 0 to 1. `deliver` turns a record into what arrives of it: nothing (it was trimmed), something
    unreadable, more than one.
    """

    seed: int = 0
    duplicates: float = 0
    late: float = 0
    deliver: Callable[[Record], Sequence[Record]] = _as_it_is


@dataclass(frozen=True)
class InvocationContext:
    """The part of Lambda's context that handlers read."""

    function_name: str = "function"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id: str = "00000000-0000-0000-0000-000000000001"

    def get_remaining_time_in_millis(self) -> int:
        """Return as if the invocation had just begun."""
        return 60_000


@dataclass
class _Batch:
    records: list[Record]
    retries: int = 0
    invocations: int = 0


@dataclass
class Lane:
    """The records of a shard that come one after the other: as many lanes a shard as its parallelization factor."""

    shard: str
    number: int
    random: random.Random
    records: deque[Record] = field(default_factory=deque)
    failed: deque[_Batch] = field(default_factory=deque)
    under_way: int = 0
    """Records that the function has at this moment: it may still fail on them, or get them again."""
    failures: int = 0
    """Failures in a row."""

    def __len__(self) -> int:
        return len(self.records) + sum(len(batch.records) for batch in self.failed) + self.under_way


class StreamPump:
    """Reads a stream, and invokes a function until each record has succeeded or was given up.

    `clock` tells the time in seconds since 1970, for the records' age.
    """

    def __init__(
        self,
        mapping: EventSourceMapping,
        read: Callable[[], Iterable[tuple[str, Record]]],
        function: Callable[[dict[str, Any], Any], object],
        *,
        disorder: Disorder | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.given_up: list[GivenUp] = []
        self.counts: Counter[str] = Counter()
        """Records read, filtered out, delivered, late and duplicated; invocations, and of these failures and splits."""
        self.lanes: list[Lane] = []
        self.ended = False
        """Whether `read_on` has come to the end: whoever works on a lane can go home."""
        self.mapping = mapping
        self._read = read
        self._function = function
        self._disorder = disorder or Disorder()
        self._random = random.Random(self._disorder.seed)  # noqa: S311 - a schedule, not a secret
        self._clock = clock
        self._held: list[tuple[int, str, Record]] = []
        self._fetches = 0
        self._lock = threading.RLock()

    @property
    def waiting(self) -> int:
        """Records that were read and are not done."""
        return len(self._held) + sum(map(len, self.lanes))

    def fetch(self) -> int:
        """Take what is new in the stream into the lanes; how many records that was."""
        new = list(self._read())  # Not under the lock: it asks the network, and the lanes go on meanwhile.
        with self._lock:
            self._fetches += 1
            due = [one for one in self._held if one[0] <= self._fetches]
            self._held = [one for one in self._held if one[0] > self._fetches]
            for _, shard, record in due:
                self._lane_of(shard, record).records.append(record)
            for shard, record in new:
                self.counts["read"] += 1
                if self.mapping.lets_through(record):
                    for delivered in self._disorder.deliver(record):
                        self._take(shard, delivered)
                else:
                    self.counts["filtered out"] += 1
            return len(new)

    def step(self, lane: Lane) -> bool:
        """Invoke the function once with the lane's next batch; False if there is nothing to do."""
        batch = self._next_batch(lane)
        if not batch.records:
            return False
        batch.invocations += 1
        try:
            failed_from = self._invoke(batch)
            lane.failures = 0 if failed_from is None else lane.failures + 1
            if failed_from is None:
                self._again(lane, batch.records)
            else:
                self._again(lane, batch.records[:failed_from])
                self._after_failure(lane, batch, failed_from)
        finally:
            lane.under_way = 0
        return True

    def read_on(self, *, pause: Callable[[float], object], is_over: Callable[[], bool]) -> None:
        """Fetch until `is_over`, and nothing is left in the stream or in any lane: the lanes' workers then end too.

        One worker reads, and one each works on a lane's number with `work_on`; `pause` lets the others go on for so
        many seconds. Only who reads can tell that nothing more will come, since a lane that is empty now may be given
        records by the next fetch, or again by itself when the batch that it works on fails.
        """
        while not self.ended:
            over = is_over()  # Asked first: what was written until then, the fetch brings.
            if not self.fetch():
                self.ended = over and not self.waiting
                pause(_IDLE_SECONDS)

    def work_on(self, number: int, *, pause: Callable[[float], object]) -> None:
        """Invoke the function with what comes into the lanes of this number, until `read_on` says that it was all.

        What failed comes again later and later. AWS does not say how much later.
        """
        while not self.ended:
            mine = [lane for lane in self.lanes if lane.number == number]
            worked = [self.step(lane) for lane in mine]
            failures = max((lane.failures for lane in mine), default=0)
            if failures or not any(worked):
                pause(min(_LONGEST_PAUSE, 2 ** (failures - 1)) if failures else _IDLE_SECONDS)

    def drain(self, *, limit: int = 100_000) -> None:
        """Go on until nothing is left, lane by lane in an order by seed.

        Raises:
            RuntimeError: that took more than `limit` invocations.
        """
        end = self.counts["invocations"] + limit
        while self.fetch() or self.waiting:
            for lane in self._random.sample(self.lanes, len(self.lanes)):
                self.step(lane)
            if self.counts["invocations"] > end:
                raise RuntimeError(f"{self.waiting} records are left after {limit} invocations")

    def _take(self, shard: str, record: Record) -> None:
        lane = self._lane_of(shard, record)
        earlier = [one for one in self._held if _item(one[2]) == _item(record)]
        if earlier:  # An item's own records never overtake each other.
            self._held = [one for one in self._held if one not in earlier]
            lane.records.extend(one[2] for one in earlier)
        if self._random.random() < self._disorder.late:
            self.counts["late"] += 1
            self._hold(shard, record)
        else:
            lane.records.append(record)

    def _hold(self, shard: str, record: Record) -> None:
        self._held.append((self._fetches + self._random.randint(1, _LONGEST_WAIT), shard, record))

    def _lane_of(self, shard: str, record: Record) -> Lane:
        number = zlib.crc32(_item(record).encode()) % self.mapping.parallelization_factor
        for lane in self.lanes:
            if (lane.shard, lane.number) == (shard, number):
                return lane
        self.lanes.append(Lane(shard, number, random.Random(f"{self._disorder.seed}/{len(self.lanes)}")))  # noqa: S311 - as above
        return self.lanes[-1]

    def _next_batch(self, lane: Lane) -> _Batch:
        with self._lock:
            batch = lane.failed.popleft() if lane.failed else _Batch(self._fresh(lane))
            oldest = self._clock() - self.mapping.maximum_record_age
            if self.mapping.maximum_record_age >= 0:
                expired = [one for one in batch.records if _created(one) < oldest]
                batch.records = [one for one in batch.records if _created(one) >= oldest]
                self._give_up("RecordAgeExceeded", expired, batch.invocations)
            lane.under_way = len(batch.records)
            return batch

    def _fresh(self, lane: Lane) -> list[Record]:
        records: list[Record] = []
        size = 0
        while lane.records and len(records) < self.mapping.batch_size:
            size += len(_payload([lane.records[0]]))
            if records and size > MAX_PAYLOAD_BYTES:
                break
            records.append(lane.records.popleft())
        return records

    def _invoke(self, batch: _Batch) -> int | None:
        """Return from which record on the batch has failed; None if it has not."""
        self.counts["invocations"] += 1
        self.counts["delivered"] += len(batch.records)
        try:
            response = self._function(json.loads(_payload(batch.records)), InvocationContext())
        except (Exception, CrashError):  # noqa: BLE001 - the function may raise anything
            return 0
        return _failed_from(response, batch.records) if self.mapping.partial_responses else None

    def _after_failure(self, lane: Lane, batch: _Batch, failed_from: int) -> None:
        self.counts["failures"] += 1
        left = batch.records[failed_from:]
        parts = [left]
        if self.mapping.bisect and not failed_from and len(left) > 1:
            parts = [left[: len(left) // 2], left[len(left) // 2 :]]
        split = self.mapping.bisect and len(parts[0]) < len(batch.records)
        self.counts["splits"] += split
        retries = batch.retries if split else batch.retries + 1
        if 0 <= self.mapping.maximum_retry_attempts < retries:
            self._give_up("RetryAttemptsExhausted", left, batch.invocations)
            return
        lane.failed.extendleft(_Batch(part, retries, batch.invocations) for part in reversed(parts))

    def _again(self, lane: Lane, done: list[Record]) -> None:
        """Deliver part of what succeeded once more, some time: its success was not noted."""
        if done and lane.random.random() < self._disorder.duplicates:
            again = done[lane.random.randrange(len(done)) :]
            self.counts["duplicated"] += len(again)
            with self._lock:
                for record in again:
                    self._hold(lane.shard, record)

    def _give_up(self, condition: str, records: list[Record], invocations: int) -> None:
        if records:
            self.given_up.append(GivenUp(condition, tuple(records), invocations))


def _failed_from(response: object, records: Sequence[Record]) -> int | None:
    if not response:
        return None
    failures = response.get("batchItemFailures") if isinstance(response, dict) else [{}]
    if not failures:
        return None
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    try:
        return min(numbers.index(failure["itemIdentifier"]) for failure in failures)
    except (KeyError, TypeError, ValueError):
        return 0


def _item(record: Record) -> str:
    return json.dumps(record["dynamodb"].get("Keys"), sort_keys=True)


def _created(record: Record) -> float:
    created: float = record["dynamodb"]["ApproximateCreationDateTime"]
    return created


def _payload(records: Sequence[Record]) -> str:
    return json.dumps({"Records": records}, default=lambda binary: base64.b64encode(binary).decode())
