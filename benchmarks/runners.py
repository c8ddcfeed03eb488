"""The processes of a run: DynamoDB Local, the stub before it, and one worker a peer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3

from benchmarks.certificate import CHAIN, certificate
from benchmarks.kinds import CASTORE, TOOLS
from benchmarks.payload import NESTED
from local import dynamodb_local
from local.toolchain import LOCAL, REGION, ROOT, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from benchmarks.kinds import Kind

LOGS = LOCAL / "bench"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}


class MissingError(Exception):
    """The peer has no way to do this."""


class BrokenError(Exception):
    """The peer failed at it; the message says how."""


@dataclass(frozen=True)
class Counted:
    """What some work cost, exactly: requests by name, capacity units read and written."""

    requests: list[str]
    read: float
    written: float


def environment() -> dict[str, str]:
    """Return a process's environment: no account but the local one, and no settings from this machine's user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, **ENVIRONMENT, "PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"}


def end(process: subprocess.Popen[str]) -> None:
    """Close a process's input, which ends it; kill it if it doesn't."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Worker:
    """A peer's process."""

    def __init__(self, kind: Kind, endpoint: str, prefix: str) -> None:
        self.kind = kind
        self.name = kind.name
        self.log = LOGS / f"{re.sub(r'\W+', '-', kind.name)}.log"
        LOGS.mkdir(parents=True, exist_ok=True)
        self._said = self.log.open("w")
        self._process = subprocess.Popen(
            [*command(kind), endpoint, prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env=environment() | ({NESTED: "1"} if kind.nested else {}) | {"AWS_CA_BUNDLE": str(LOGS / CHAIN)},
            start_new_session=True,  # Ctrl-C is for the bench, which then ends them.
        )

    def __enter__(self) -> Self:
        """Create the peer's tables."""
        self.call("create_tables")
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        end(self._process)
        self._said.close()

    def call(self, method: str, *arguments: object) -> Any:
        """Call one method of the peer."""
        return self.ask("call", method, list(arguments))

    def time(self, method: str, calls: Sequence[Sequence[object]]) -> dict[str, float]:
        """Return CPU and wall seconds of calls, one after another."""
        answer: dict[str, float] = self.ask("time", method, list(calls))
        return answer

    def cost(self, method: str, *arguments: object) -> Counted:
        """Return what one call cost."""
        return Counted(**self.ask("cost", method, [list(arguments)]))

    def ask(self, do: str, *what: object) -> Any:
        """Send one request and wait for its answer.

        Raises:
            MissingError: the peer has no way to do it.
            BrokenError: it failed.
            StepError: its process has ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise StepError(f"{self.name}: no pipes")
        try:
            self._process.stdin.write(json.dumps({"do": do, "with": what}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise StepError(f"The bench's process for {self.name} ended. What it said last is in {self.log}.")
        answer = json.loads(line)
        if "missing" in answer:
            raise MissingError(answer["missing"])
        if "error" in answer:
            raise BrokenError(answer["error"])
        return answer["result"]


class Stub:
    """The stub, in its own process."""

    def __init__(self, upstream: str) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        certificate(LOGS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stub", upstream, str(LOGS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        plain, tls = self._read().split()
        self.url, self.tls_url = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"

    def switch(self, mode: str) -> None:
        """Let it `record` or `replay`."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{mode}\n")
            self._process.stdin.flush()
        self._read()

    def stop(self) -> None:
        """End it."""
        end(self._process)

    def _read(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout is not None else ""


@dataclass(frozen=True)
class Field:
    """Where a run takes place: the workers, the stub they talk through, and the real store behind it."""

    workers: list[Worker]
    stub: Stub
    store_url: str
    store: DynamoDBClient

    def worker(self, kind: Kind) -> Worker:
        """Return a kind's worker."""
        return next(worker for worker in self.workers if worker.kind == kind)


@contextmanager
def running(kinds: Sequence[Kind], prefix: str = "bench") -> Iterator[Field]:
    """Start everything; yield it; end everything.

    Raises:
        StepError: DynamoDB Local can't run here.
    """
    if reason := dynamodb_local.available():
        raise StepError(f"The bench needs DynamoDB Local: {reason}")
    with ExitStack() as stack:
        url = stack.enter_context(dynamodb_local.running())
        stub = Stub(url)
        stack.callback(stub.stop)
        started = [_start(kind, stub, prefix) for kind in kinds]  # side by side: imports take long
        workers = [stack.enter_context(worker) for worker in started]
        store: DynamoDBClient = boto3.Session("local", "local", region_name=REGION).client("dynamodb", endpoint_url=url)
        yield Field(workers, stub, url, store)


def _start(kind: Kind, stub: Stub, prefix: str) -> Worker:
    prefix += "-nested" * kind.nested + "-tls" * kind.tls  # Tables of their own.
    return Worker(kind, stub.tls_url if kind.tls else stub.url, prefix)


def command(kind: Kind) -> tuple[str, ...]:
    """Return what runs a peer's worker."""
    if kind.environment == "node":
        return ("node", str(CASTORE / "worker.mjs"))
    return (str(_python(kind)), "-m", "benchmarks.worker", kind.made_by)


def _python(kind: Kind) -> Path:
    return TOOLS / kind.environment / "bin" / "python" if kind.environment else Path(sys.executable)


def why_not(kind: Kind) -> str:
    """Return why a peer can't run here; empty if it can."""
    if kind.environment == "node":
        return "" if shutil.which("node") and (CASTORE / "node_modules").is_dir() else "there is no Node.js here"
    return "" if _python(kind).exists() else f"{_python(kind)} is not installed: make bench does that"
