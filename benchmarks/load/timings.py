"""How long the functions take: what the simulation in `benchmarks/scale` reckons with.

    python -m benchmarks.load.timings   # in the functions' environment; prints the CPU time of their handlers

Two kinds of figures. Wall time as the emulator has it, which shares this machine's cores with everything else. And the
CPU time of the handlers themselves, run in a process of their own, which is what a Lambda needs whatever is around it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from io import StringIO
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from app.users.rules import USERS, UserCreated, UserUpdated
from eventfold import Commit
from eventfold.dynamodb.items import commit_to_item
from local.toolchain import ROOT, StepError, credentials, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from local.stack import Stack

BATCHES = (1, 10, 50, 100)
ROUNDS = 15
STREAMS = EACH = 10


class Line(BaseModel, frozen=True):
    """Time that grows with a batch, in milliseconds: least squares over batches of 1 to 100 commits."""

    fixed_ms: float
    per_commit_ms: float

    def seconds(self, commits: float) -> float:
        """Return the time for a batch."""
        return (self.fixed_ms + self.per_commit_ms * commits) / 1000

    @classmethod
    def through(cls, points: Iterable[tuple[int, float]]) -> Line:
        """Return the line through each size's median, from pairs of commits and seconds; never below nothing."""
        by_size: dict[int, list[float]] = defaultdict(list)
        for size, taken in points:
            by_size[size].append(taken)
        commits, seconds = list(by_size), [statistics.median(taken) for taken in by_size.values()]
        slope, intercept = statistics.linear_regression(commits, seconds)
        return cls(fixed_ms=round(max(intercept, 0) * 1000, 3), per_commit_ms=round(slope * 1000, 3))


class CpuTimes(BaseModel, frozen=True):
    """CPU time of the handlers, in milliseconds, warm; the projection's for both read models."""

    create_ms: float
    update_ms: float
    query_ms: float
    list_ms: float | None = None
    """A page of users; None where it was not measured."""
    stats_ms: float | None = None
    """The figures of the last days, as for `list_ms`."""
    projection: Line
    ten_streams_ms: float | None = None
    """A commit's part of a batch that has 100 commits of 10 streams, as for `list_ms`."""
    command_log_bytes: int
    commit_log_bytes: int
    batch_log_bytes: int
    """What a batch adds to the projection function's log, and what each commit in it does, both read models."""


def stream_event(first: int, commits: int, *, each: int = 1) -> dict[str, Any]:
    """Return a batch of stream records: users created and then renamed, `each` commits a stream that no other has."""
    mark = uuid.uuid4().hex
    event = (USERS.codec.encode(UserCreated(name=f"Timed {first}", email="timed@example.com")),)
    renamed = (USERS.codec.encode(UserUpdated(name=f"Timed again {first}")),)
    made = (
        Commit(
            USERS.stream(f"{mark}-{n}"), version, renamed if version > 1 else event, f"{mark}-{n}", datetime.now(UTC)
        )
        for version in range(1, each + 1)
        for n in range(commits // each)
    )
    return {
        "Records": [
            {
                "eventName": "INSERT",
                "dynamodb": {
                    "SequenceNumber": str(first + number),
                    "Keys": {"stream": {"S": commit.stream}, "version": {"N": str(commit.version)}},
                    "NewImage": commit_to_item(commit),
                },
            }
            for number, commit in enumerate(made)
        ]
    }


def emulated_projection(deployed: Stack) -> Line:
    """Time the projection function as the emulator runs it, by invoking it with batches of each size."""
    name = deployed.function_name("ProjectionsFunction")
    invoke = deployed.functions.invoke  # a client takes longer to make than a batch takes
    points: list[tuple[int, float]] = []
    for turn in range(ROUNDS + 1):
        for size in BATCHES:
            payload = json.dumps(stream_event(turn, size))
            started = time.perf_counter()
            answer = invoke(FunctionName=name, Payload=payload)
            if answer.get("FunctionError"):
                raise StepError(f"The projections failed on a batch of {size}: {answer['Payload'].read()[:300]!r}")
            if turn:  # the first round warms up
                points.append((size, time.perf_counter() - started))
    return Line.through(points)


def cpu_times(deployed: Stack) -> CpuTimes:
    """Time the handlers' CPU in a process of their own against the stack's tables.

    Raises:
        StepError: it failed; shows what it said.
    """
    outputs = deployed.outputs
    env = environment(deployed.endpoint_url) | credentials()
    env |= {f"{name}_TABLE": outputs[f"{key}TableName"] for name, key in _TABLES.items()}
    env |= {"POWERTOOLS_SERVICE_NAME": "timings", "POWERTOOLS_METRICS_NAMESPACE": "eventfold"}
    command = [sys.executable, "-m", "benchmarks.load.timings"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"The handlers can't be timed:\n{done.stderr[-2000:]}")
    return CpuTimes.model_validate_json(done.stdout)


_TABLES = {"EVENTS": "Events", "READ_MODELS": "ReadModels", "PARKED": "Parked"}


def _measure(log: StringIO) -> CpuTimes:
    from functions.commands import handler as commands  # noqa: PLC0415 - only here is their environment there
    from functions.projections import handler as projections  # noqa: PLC0415
    from functions.queries import handler as queries  # noqa: PLC0415

    context = _Context()
    id_: str = json.loads(commands.lambda_handler(_http("POST", "/users", {"name": "Timed"}), context)["body"])["id"]

    def create(turn: int) -> None:
        commands.lambda_handler(_http("POST", "/users", {"name": f"Timed {turn}"}), context)

    def update(turn: int) -> None:
        commands.lambda_handler(_http("PATCH", f"/users/{id_}", {"name": f"Timed {turn}"}), context)

    def get(path: str, _turn: int) -> int:
        return int(queries.lambda_handler(_http("GET", path, None), context)["statusCode"])

    query, users, stats = (partial(get, path) for path in (f"/users/{id_}", "/users", "/stats"))
    while query(0) != HTTPStatus.OK:  # the stream brings the row in a moment
        time.sleep(0.1)

    def project(batches: Sequence[dict[str, Any]], turn: int) -> None:
        projections.lambda_handler(batches[turn], context)

    points: list[tuple[int, float]] = []
    for size in BATCHES:
        batches = [stream_event(turn, size) for turn in range(ROUNDS + 1)]
        points += [(size, taken) for taken in _timed(partial(project, batches), ROUNDS)]
    batches = [stream_event(turn, STREAMS * EACH, each=EACH) for turn in range(ROUNDS + 1)]
    ten_streams = statistics.median(_timed(partial(project, batches), ROUNDS)) / (STREAMS * EACH)
    one, twenty = (_written(log, partial(project, [stream_event(0, size)], 0)) for size in (1, 20))
    of_commit = (twenty - one) // 19
    return CpuTimes(
        create_ms=_median(create),
        update_ms=_median(update),
        query_ms=_median(query),
        list_ms=_median(users),
        stats_ms=_median(stats),
        projection=Line.through(points),
        ten_streams_ms=round(ten_streams * 1000, 3),
        command_log_bytes=_written(log, lambda: update(-1)),
        commit_log_bytes=of_commit,
        batch_log_bytes=one - of_commit,
    )


def _written(log: StringIO, run: Callable[[], object]) -> int:
    before = log.tell()
    run()
    return log.tell() - before


def _median(run: Callable[[int], object]) -> float:
    return round(statistics.median(_timed(run, ROUNDS * 10)) * 1000, 3)


def _timed(run: Callable[[int], object], rounds: int) -> list[float]:
    """Return the CPU seconds of each round; the first one, which warms up, is left out."""
    taken: list[float] = []
    for turn in range(rounds + 1):
        before = time.process_time()
        run(turn)
        taken.append(time.process_time() - before)
    return taken[1:]


class _Context(LambdaContext):
    """The part of Lambda's context that the handlers read."""

    function_name = "timings"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:timings"
    aws_request_id = "00000000-0000-0000-0000-000000000001"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return what is left of an invocation, which is all of it."""
        return 29_000


def _http(method: str, path: str, body: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "requestId": uuid.uuid4().hex,
            "stage": "$default",
            "http": {"method": method, "path": path},
        },
        "body": json.dumps(body) if body is not None else None,
        "isBase64Encoded": False,
    }


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    with redirect_stdout(StringIO()) as log:  # the handlers'
        measured = _measure(log)
    print(measured.model_dump_json())  # noqa: T201 - to whoever started it
