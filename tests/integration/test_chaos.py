"""A short `make chaos`: every fault, every check, and the same seed gives the same run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.dynamodb_local


def chaos(url: str, seed: int, commands: int) -> tuple[int, list[str]]:
    """Run in a process of its own, as `make chaos` does; return the exit code and the lines, without the time taken."""
    options = ["--seed", str(seed), "--commands", str(commands), "--users", "25", "--endpoint", url]
    done = subprocess.run(  # noqa: S603 - arguments of its own making
        [sys.executable, "-m", "drills.chaos", *options],
        cwd=ROOT,
        env=os.environ | {"AWS_ENDPOINT_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    lines = done.stdout.splitlines()
    return done.returncode, [*lines[:-1], lines[-1].rpartition(" (")[0]]


def test_nothing_is_lost_doubled_or_different_under_faults(dynamodb_local_url: str) -> None:
    code, lines = chaos(dynamodb_local_url, 3, 400)
    assert code == 0, "\n".join(lines)
    assert lines[-1] == "seed 3: nothing lost, nothing doubled, nothing different"
    figures = {line.strip().rpartition(" ")[0].strip(): line.rpartition(" ")[2] for line in lines}
    assert figures["commands"] == "400"
    # It was no fair-weather run.
    for name in ("answer lost", "throttled", "duplicates dropped", "gaps healed", "streams parked", "streams redriven"):
        assert int(figures[name]) > 0, name


def test_a_seed_gives_the_same_run_again(dynamodb_local_url: str) -> None:
    first, second = (chaos(dynamodb_local_url, 5, 80) for _ in range(2))
    assert first == second
