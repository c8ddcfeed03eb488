"""The state machine, from the template: a rebuild on the deployed stack, by a distributed map over the parts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventfold.dynamodb.controls import DynamoDBControlStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.generations import stored_name
from local.toolchain import REGION
from tests.e2e.test_stack import create, eventually

if TYPE_CHECKING:
    import httpx
    from mypy_boto3_stepfunctions import SFNClient

    from local.stack import Stack

pytestmark = pytest.mark.stack


def execute(deployed: Stack, projection: str) -> dict[str, Any]:
    """Run the state machine to its end."""
    session = boto3.Session("test", "test", region_name=REGION)
    states: SFNClient = session.client("stepfunctions", endpoint_url=deployed.endpoint_url)
    about = {"projection": projection, "source": "table", "segments": 3, "rate": None, "promote": True}
    started = states.start_execution(
        stateMachineArn=deployed.outputs["RebuildStateMachineArn"], input=json.dumps(about)
    )
    deadline = time.monotonic() + 90
    while (found := states.describe_execution(executionArn=started["executionArn"]))["status"] == "RUNNING":
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return dict(found)


def test_a_rebuild_by_the_state_machine_ends_promoted(api: httpx.Client, deployed: Stack) -> None:
    ids = [create(api, f"Rebuilt {n}") for n in range(12)]
    for id_ in ids:
        eventually(lambda id_=id_: r if (r := api.get(f"/users/{id_}")).is_success else None, "the row")  # type: ignore[misc]
    controls = DynamoDBControlStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    for name in ("directory", "stats"):
        before = controls.read([name])[name]
        found = execute(deployed, name)
        assert found["status"] == "SUCCEEDED", found
        assert json.loads(found["output"])["next"]["promoted"] is True
        after = controls.read([name])[name]
        assert after.active == before.newest + 1
        assert after.generation(before.active).status == "retired"
    assert [api.get(f"/users/{id_}").json()["name"] for id_ in ids] == [f"Rebuilt {n}" for n in range(12)]
    rows = DynamoDBRowStore(deployed.dynamodb, deployed.outputs["ReadModelsTableName"])
    streams = [f"user-{id_}" for id_ in ids]
    control = controls.read(["directory"])["directory"]
    first, *others = [rows.get(stored_name("directory", one.number), streams) for one in control.live]
    assert len(first) == len(ids)
    assert others == [first] * len(others)


def test_a_rebuild_that_is_refused_fails_and_says_why(api: httpx.Client, deployed: Stack) -> None:
    found = execute(deployed, "nothing")
    assert found["status"] == "FAILED"
    assert "There is no projection 'nothing'" in found["cause"]
