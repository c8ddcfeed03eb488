"""The state machine, from the template: a rebuild on the deployed stack, by a distributed map over the parts."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.read_models.target import GenerationName
from local.stack import _session
from tests.e2e.test_cli import on_stack
from tests.e2e.test_stack import create, eventually

if TYPE_CHECKING:
    import subprocess

    import httpx

    from local.stack import Stack

pytestmark = pytest.mark.stack


def rebuild(deployed: Stack, projection: str) -> subprocess.CompletedProcess[str]:
    """Rebuild by the state machine, as on AWS."""
    return on_stack(deployed, "projection", "rebuild", projection, "--segments", "3", "--json")


def test_a_rebuild_by_the_state_machine_ends_promoted(api: httpx.Client, deployed: Stack) -> None:
    ids = [create(api, f"Rebuilt {n}") for n in range(12)]
    for id_ in ids:
        eventually(lambda id_=id_: r if (r := api.get(f"/users/{id_}")).is_success else None, "the row")  # type: ignore[misc]
    controls = DynamoDBRebuildStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    names = ["directory", "stats"]
    before = controls.read(names)
    with ThreadPoolExecutor() as pool:  # Most of a rebuild is waiting for processes to learn of it.
        ended = list(pool.map(partial(rebuild, deployed), names))
    after = controls.read(names)
    for name, done in zip(names, ended, strict=True):
        assert done.returncode == 0, done.stderr
        assert "it goes on without this command" in done.stderr
        assert json.loads(done.stdout)["promoted"] is True
        assert after[name].active == before[name].newest + 1
        assert after[name].generation(before[name].active).status == "retired"
    assert [api.get(f"/users/{id_}").json()["name"] for id_ in ids] == [f"Rebuilt {n}" for n in range(12)]
    rows = DynamoDBRowStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    streams = [f"user-{id_}" for id_ in ids]
    control = controls.read(["directory"])["directory"]
    first, *others = [rows.get(str(GenerationName("directory", one.number)), streams) for one in control.live]
    assert len(first) == len(ids)
    assert others == [first] * len(others)


def test_a_worker_that_fails_says_why_and_lets_others_in(api: httpx.Client, deployed: Stack) -> None:
    """The map's own error says that a part has failed, and no more."""
    create(api, "Held")
    controls = DynamoDBRebuildStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    with ThreadPoolExecutor() as pool:
        failing = pool.submit(rebuild, deployed, "directory")
        begun = eventually(lambda: now if (now := controls.read(["directory"])["directory"]).building else None, "it")
        controls.write(begun.dropped(begun.newest, datetime.now(UTC)).without(begun.newest))  # before a worker begins
        failed = failing.result()
    assert failed.returncode == 2
    assert f"The rebuild failed: directory has no generation {begun.newest}" in failed.stderr
    assert controls.hold("directory", "another", 1) == 0
    controls.release("directory", "another")


def test_an_execution_whose_input_lacks_something_fails_at_once(deployed: Stack) -> None:
    states = _session().client("stepfunctions", endpoint_url=deployed.endpoint_url)
    machine = deployed.outputs["RebuildStateMachineArn"]
    about = {"projection": "directory", "source": "table", "segments": 2, "rate": 0}
    execution = states.start_execution(stateMachineArn=machine, input=json.dumps(about))["executionArn"]
    while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.1)
    assert (found["status"], found["error"]) == ("FAILED", "InputError")


def test_a_rebuild_that_is_refused_fails_and_says_why(api: httpx.Client, deployed: Stack) -> None:
    unknown = rebuild(deployed, "nothing")
    assert unknown.returncode == 2
    assert "There is no projection 'nothing'" in unknown.stderr
    controls = DynamoDBRebuildStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    now = time.time()
    assert not controls.hold("directory", "another", 60)
    try:
        done = rebuild(deployed, "directory")
    finally:
        controls.release("directory", "another")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "A rebuild of directory is running" in done.stderr
    assert time.time() - now < 60
