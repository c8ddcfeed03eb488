"""What a function waits for when it starts: its own parts, and no other's."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support import ROOT

SAYS = "import json, gc, sys, handler; print(json.dumps([sorted(sys.modules), len(gc.get_objects()), gc.get_threshold()[0]]))"


def test_the_command_function_starts_without_read_models_boto3_and_collections_of_garbage() -> None:
    environment = {"AWS_DEFAULT_REGION": "eu-west-1", "POWERTOOLS_METRICS_NAMESPACE": "eventfold"}
    started = subprocess.run(  # noqa: S603
        [sys.executable, "-c", SAYS],
        cwd=ROOT / "functions" / "commands",
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    modules, objects, threshold = json.loads(started.stdout)
    assert {
        "app.main",
        "app.users.commands",
        "eventfold.application.parts",
        "eventfold.aggregates.handling",
        "eventfold.dynamodb.store",
    } <= set(modules)
    queries = ("app.users.queries", "app.users.directory", "app.users.stats", "app.queries", "app.lists")
    rooms = (*queries, "eventfold.memory", "eventfold.read_models", "eventfold.operations", "boto3")
    assert [module for module in modules if module.startswith(rooms)] == []
    dynamodb = {module for module in modules if module.startswith("eventfold.dynamodb.")}
    assert dynamodb == {
        f"eventfold.dynamodb.{part}"
        for part in ("client", "http", "items", "parsing", "store", "transactions", "transport")
    }
    assert objects < threshold, "a start makes so many that they are looked through before the first answer"
