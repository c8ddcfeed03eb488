"""A short `make chaos`: every fault, every trouble, every check."""

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
    options = ["--seed", str(SEED), "--commands", str(COMMANDS), "--users", "20", "--writers", "3", "--endpoint", url]
    return subprocess.Popen(  # noqa: S603 - arguments of its own making
        [sys.executable, "-m", "drills.chaos", *options],
        cwd=ROOT,
        env=os.environ | {"AWS_ENDPOINT_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_lost_doubled_or_different(dynamodb_local_url: str) -> None:
    run = start(dynamodb_local_url)
    first = run.communicate()[0].splitlines()
    assert run.returncode == 0, "\n".join(first)
    assert first[-1].startswith(f"seed {SEED}: nothing lost, nothing doubled, nothing different")
    figures = {line.strip().rpartition(" ")[0].strip(): line.rpartition(" ")[2] for line in first}
    assert figures["commands"] == str(COMMANDS)
    # It was no fair-weather run.
    for name in (
        *("answer lost", "throttled", "table out of reach", "process crashed"),
        *("long outages", "long commits", "deployments of bugs", "rebuilds", "switches"),
        *("duplicates dropped", "gaps healed", "streams redriven", "queries"),
    ):
        assert int(figures[name]) > 0, name
