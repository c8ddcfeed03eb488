"""A short `make chaos`: every fault, every trouble, every check; and the same seed gives the same run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.dynamodb_local

SEED = 3
COMMANDS = 150


def start(url: str) -> subprocess.Popen[str]:
    """Run in a process of its own, as `make chaos` does."""
    options = ["--seed", str(SEED), "--commands", str(COMMANDS), "--users", "20", "--writers", "2", "--endpoint", url]
    return subprocess.Popen(  # noqa: S603 - arguments of its own making
        [sys.executable, "-m", "drills.chaos", *options],
        cwd=ROOT,
        env=os.environ | {"AWS_ENDPOINT_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_lost_doubled_or_different_and_a_seed_gives_the_same_run_again(dynamodb_local_url: str) -> None:
    runs = [start(dynamodb_local_url) for _ in range(2)]
    first, second = [run.communicate()[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(first)
    assert first[:-1] == second[:-1]
    assert first[-1].startswith(f"seed {SEED}: nothing lost, nothing doubled, nothing different")
    figures = {line.strip().rpartition(" ")[0].strip(): line.rpartition(" ")[2] for line in first}
    assert figures["commands"] == str(COMMANDS)
    # It was no fair-weather run.
    for name in (
        *("answer lost", "throttled", "table out of reach", "process crashed"),
        *("long outages", "long commits", "deployments of bugs", "rebuilds", "switches"),
        *("duplicates dropped", "gaps healed", "released", "queries"),
    ):
        assert int(figures[name]) > 0, name
