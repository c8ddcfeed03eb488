"""The restore drill of docs/operations.md, on the emulator: a stack goes on with a table restored to an earlier moment."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from local import stack
from local.toolchain import sam_profile
from tests.e2e.test_cli import on_stack
from tests.e2e.test_stack import create, eventually
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.stack

ARCHITECTURE = "arm64" if sam_profile().endswith("arm64") else "x86_64"
LOCAL = {"AuthMode": "NONE", "DeletionProtection": "false", "Architecture": ARCHITECTURE}


def eventfold(deployed: stack.Stack, *words: str, code: int = 0) -> str:
    """Run the command on the stack, as on one on AWS; return what it says."""
    done = on_stack(deployed, *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_stack_goes_on_with_a_restored_table_and_nothing_is_projected_twice(tmp_path: Path) -> None:
    with stack.running(tmp_path) as old, httpx.Client(base_url=old.api_url, timeout=60) as api:
        kept, renamed = create(api, "Kept"), create(api, "Renamed")
        assert api.patch(f"/users/{renamed}", json={"name": "Renamed twice"}).is_success
        source = old.outputs["EventsTableName"]
        restored = old.dynamodb.restore_table_to_point_in_time(
            SourceTableName=source, TargetTableName="restored", UseLatestRestorableTime=True
        )["TableDescription"]
        assert restored.get("StreamSpecification") is None

        # What comes after the moment is lost. The read models have seen it.
        lost = create(api, "Lost")
        assert api.patch(f"/users/{kept}", json={"name": "Not kept"}).is_success
        assert api.patch(f"/users/{lost}", json={"email": "lost@example.com"}).is_success
        assert api.delete(f"/users/{renamed}").is_success
        eventually(lambda: r if (r := api.get(f"/users/{renamed}")).status_code == 410 else None, "the deletion")
        eventually(lambda: r if (r := api.get(f"/users/{lost}")).is_success else None, "the row")

        old.dynamodb.update_table(
            TableName="restored", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        )
        arn = old.dynamodb.describe_table(TableName="restored")["Table"]["LatestStreamArn"]
        new = stack.deploy(old.endpoint_url, LOCAL | {"EventsStreamArn": arn})
        assert new.outputs["EventsTableName"] == "restored"
        assert source in old.dynamodb.list_tables()["TableNames"], "the table before is retained"
        assert [one["version"] for one in api.get(f"/users/{kept}/events").json()["events"]] == [1]

        with ThreadPoolExecutor() as pool:
            list(
                pool.map(lambda name: eventfold(new, "projection", "rebuild", name), ("directory", "stats", "balances"))
            )
        assert api.get(f"/users/{kept}").json()["name"] == "Kept"
        assert api.get(f"/users/{renamed}").json()["name"] == "Renamed twice"
        assert api.get(f"/users/{lost}").status_code == 404
        assert {user["name"] for user in api.get("/users").json()["users"]} == {"Kept", "Renamed twice"}

        # Version 2 comes for the second time, as another event.
        assert api.patch(f"/users/{kept}", json={"name": "Goes on"}).json()["version"] == 2
        row = eventually(lambda: r if (r := api.get(f"/users/{kept}")).json()["version"] == 2 else None, "the row")
        assert row.json()["name"] == "Goes on"
        stats = api.get("/stats").json()
        assert (stats["created"], stats["deleted"], stats["active"]) == (2, 0, 2)
        assert "1 released" in eventfold(new, "claims", "build"), "of the user that is lost"
        eventfold(new, "verify")
        found = json.loads(eventfold(new, "doctor", "--json", code=1))
        wrong = {f"{line['about']}: {line['what']}" for line in found if line["level"] in {"fail", "warn"}}
        assert all("recovery" in line or "protected" in line for line in wrong), "an emulator has neither"


def test_the_drill_is_what_the_docs_say() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (drill,) = re.findall(r"^## Restore\n(.*?)(?=^## )", text, flags=re.DOTALL | re.MULTILINE)
    steps = re.findall(r"^(?:aws|sam|\.venv/bin/eventfold) .*", drill, re.MULTILINE)
    said = ["restore-table-to-point-in-time", "wait", "update-table", "update-continuous-backups", "deploy"]
    said += [f"projection rebuild {name}" for name in ("directory", "stats", "balances")]
    said += ["claims build", "verify"]
    assert len(steps) == len(said)
    assert [step for step, word in zip(steps, said, strict=True) if word not in step] == []
    assert "EventsStreamArn=" in drill
