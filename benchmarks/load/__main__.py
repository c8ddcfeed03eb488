"""`make load`: commands and queries for as long as asked on a deployed stack of its own; then all is recounted."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks.load import figures, report, timings
from benchmarks.load.checks import check
from benchmarks.load.samples import read_samples
from local import stack
from local.toolchain import ROOT, StepError, console, main_guard, step

if TYPE_CHECKING:
    from benchmarks.load.samples import Samples

LOCUST = ROOT / ".tools" / "load" / "bin" / "locust"
MEASURED = ROOT / "benchmarks" / "scale" / "measured.json"
ALONE_SECONDS = 15
WARM_SECONDS = 180
STOP_SECONDS = 30
"""How long requests that are under way, and the last samples of the lag, may take at the end."""
_NOTHING_NEW = {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1", "Keys": {}}}


def main() -> int:
    """Load a fresh stack, measure, check every stream, row and counter, report."""
    parser = argparse.ArgumentParser(prog="make load", description=main.__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    parser.add_argument("--users", type=int, default=8, help="how many send requests at the same time")
    options = parser.parse_args()
    if min(options.seconds, options.users) < 1:
        parser.error("--seconds and --users are at least 1")
    with (
        tempfile.TemporaryDirectory(prefix="eventfold-load-", ignore_cleanup_errors=True) as home,
        stack.running(Path(home)) as deployed,
    ):
        with step(f"Starting the functions' processes for {options.users} users"):
            warm_up(deployed, options.users)
        alone = run(deployed, Path(home) / "alone.jsonl", 1, min(ALONE_SECONDS, options.seconds))
        samples = run(deployed, Path(home) / "load.jsonl", options.users, options.seconds)
        return _finish(deployed, alone, samples, options.users)


def _finish(deployed: stack.Stack, alone: Samples, samples: Samples, users: int) -> int:
    with step("Recounting every stream, row and counter from the tables"):
        findings = check(deployed, [*alone.answers, *samples.answers])
    with step("Timing the functions by themselves"):
        measured = figures.Measured(
            machine=figures.machine(),
            alone=figures.phase(alone, 1),
            load=figures.phase(samples, users),
            emulated_projection=timings.emulated_projection(deployed),
            cpu=timings.cpu_times(deployed),
        )
    verdict = f"{len(findings)} faults." if findings else "Nothing lost, nothing doubled, nothing different."
    report.write(ROOT / "benchmarks", samples, measured, verdict)
    MEASURED.parent.mkdir(exist_ok=True)
    MEASURED.write_text(measured.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _say(samples, measured)
    wrong = [f"{one.route}: {one.status} {one.detail}" for one in (*alone.errors, *samples.errors)]
    wrong += [str(one) for one in findings]
    for one in wrong[:20]:
        console.print(f"[red]✗[/] {one[:300]}", markup=True)
    if wrong:
        console.print(f"[red]✗[/] {len(wrong)} errors and faults. benchmarks/load.md has the figures.")
        return 1
    console.print(f"[green]✓[/] No errors. {verdict} See benchmarks/load.md. Next: make scale")
    return 0


def _say(samples: Samples, measured: figures.Measured) -> None:
    load = measured.load
    console.print(report.table(samples))
    console.print(f"Refused as expected: {report.refusals(samples)}.")
    console.print(
        f"{load.requests_a_second:.1f} requests a second with {load.users} users; projection lag p50 "
        f"{load.lag_p50_ms:.0f} ms, p99 {load.lag_p99_ms:.0f} ms ({load.probe_samples} samples)."
    )


def warm_up(deployed: stack.Stack, users: int) -> None:
    """Start as many processes of each function as the load will use, without a commit.

    Raises:
        StepError: they take too long.
    """
    with httpx.Client(base_url=deployed.api_url, timeout=WARM_SECONDS) as api, ThreadPoolExecutor(users + 2) as pool:
        asked = [pool.submit(api.get, "/users") for _ in range(users + 2)]
        asked += [pool.submit(api.patch, "/users/nobody", json={"name": "x"}) for _ in range(users + 2)]
        try:
            for one in asked:
                one.result()
        except httpx.HTTPError as error:
            raise StepError(f"The functions did not start within {WARM_SECONDS} s: {error!r}") from error
    # The emulator serves both mappings in turn: a snapshot function that starts under load would hold up projections.
    for resource in ("ProjectionsFunction", "SnapshotsFunction"):
        name, record = deployed.function_name(resource), {**_NOTHING_NEW, "eventSource": "aws:dynamodb"}
        answer = deployed.functions.invoke(FunctionName=name, Payload=json.dumps({"Records": [record]}))
        if answer.get("FunctionError"):
            raise StepError(f"{resource} does not start: {answer['Payload'].read()[:300]!r}")


def run(deployed: stack.Stack, file: Path, users: int, seconds: int) -> Samples:
    """Send the mix for a while, with the lag probe beside it; return what came back.

    Raises:
        StepError: the load tool failed; shows what it said.
    """
    command: list[str | Path] = [LOCUST, "--locustfile", ROOT / "benchmarks" / "load" / "locustfile.py", "--headless"]
    command += [
        "--host",
        deployed.api_url,
        "--users",
        str(users + 1),
        "--spawn-rate",
        "100",
        "--run-time",
        f"{seconds}s",
    ]
    command += [
        "--stop-timeout",
        str(STOP_SECONDS),
        "--exit-code-on-error",
        "0",
        "--only-summary",
        "--loglevel",
        "WARNING",
    ]
    name = f"{users} user{'s' if users > 1 else ''} for {seconds} s"
    with file.with_suffix(".log").open("w+") as said:
        env = os.environ | {"EVENTFOLD_SAMPLES": str(file), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = _wait(process, file, name, seconds)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        words = said.read()
    if code or "Traceback" in words:
        raise StepError(f"The load tool failed with code {code}:\n{words[-2000:]}")
    samples = read_samples(file)
    console.print(f"[green]✓[/] {name}: {len(samples.mix):,} requests, {len(samples.errors)} errors")
    return samples


def _wait(process: subprocess.Popen[bytes], file: Path, name: str, seconds: int) -> int:
    """Wait for the load to end, and say how far it is."""
    started = time.monotonic()
    with console.status("") as status:
        while process.poll() is None:
            gone = time.monotonic() - started
            if gone > seconds + 2 * STOP_SECONDS + WARM_SECONDS:
                raise StepError(f"The load did not end {gone - seconds:.0f} s after its time.")
            answers = file.read_text(encoding="utf-8").count('"kind": "answer"') if file.exists() else 0
            status.update(f"{name}: {min(gone, seconds):.0f} s, {answers:,} answers")
            time.sleep(1)
    return process.returncode


if __name__ == "__main__":
    main_guard(main)
