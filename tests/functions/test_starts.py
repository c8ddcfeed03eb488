"""What a process keeps from its initialisation, before the first invocation: SnapStart freezes it, and clones it.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from aws_lambda_powertools.metrics.provider import cold_start

from app.telemetry import metrics
from tests.support import ROOT
from tests.template.declared import properties

if TYPE_CHECKING:
    from tests.functions.application import Application

CLONED = """
import json, os, random, stat
from tests.support import LambdaContext, http_event
import functions.commands.handler as commands
import functions.queries.handler as queries

def is_socket(descriptor):
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False

sockets = list(filter(is_socket, range(3, 256)))
state = random.getstate()
for clone in range(3):
    inward, outward = os.pipe()
    if os.fork() == 0:
        random.setstate(state)  # Python seeds a fork anew; nobody does so in a clone
        made = []
        for _ in range(3):
            made.append(commands.lambda_handler(http_event("POST", "/users", {"name": "Ada"}), LambdaContext()))
            path = f"{made[-1]['headers']['Location']}/events"
            made.append(queries.lambda_handler(http_event("GET", path), LambdaContext()))
        with os.fdopen(outward, "w") as file:
            json.dump(made, file)
        os._exit(0)
    os.close(outward)
    with os.fdopen(inward) as file:
        answers = file.read()
    print("CLONE", json.dumps({"sockets": sockets, "answers": json.loads(answers)}))
    os.wait()
"""


@pytest.mark.dynamodb_local
def test_clones_of_an_initialised_process_share_no_id_and_no_connection(
    local_tables: tuple[str, str], dynamodb_local_url: str
) -> None:
    events, rows = local_tables
    named = {"EVENTS_TABLE": events, "READ_MODELS_TABLE": rows, "AWS_ENDPOINT_URL": dynamodb_local_url}
    done = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", CLONED],
        env=os.environ | named | {"POWERTOOLS_METRICS_NAMESPACE": "x"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    clones = [json.loads(line.removeprefix("CLONE ")) for line in done.stdout.splitlines() if line.startswith("CLONE")]
    assert len(clones) == 3, done.stderr
    answers = [answer for clone in clones for answer in clone["answers"]]
    assert [answer["statusCode"] for answer in answers] == [201, 200] * 9
    assert [clone["sockets"] for clone in clones] == [[]] * 3, "a connection is made once there is a request"
    ids = {answer["headers"]["Location"] for answer in answers[::2]}
    commits = {json.loads(answer["body"])["events"][0]["commit_id"] for answer in answers[1::2]}
    assert (len(ids), len(commits)) == (9, 9)


def test_cold_starts_are_counted_as_the_dashboard_asks_for_them(
    app: Application, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_start, "is_cold_start", True)
    monkeypatch.setattr(metrics, "service", "commands")
    for _ in range(2):
        app.request("POST", "/users", {"name": "Ada"})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"ColdStart"' in line]
    (printed,) = lines
    (declared,) = printed["_aws"]["CloudWatchMetrics"]
    asked = re.search(
        r'"ColdStart", "(\w+)", "\$\{CommandsFunction\}", "(\w+)", "commands"',
        properties("Dashboard")["DashboardBody"]["Fn::Sub"][0],
    )
    assert asked
    assert sorted(declared["Dimensions"][0]) == sorted(asked.groups()) == ["function_name", "service"]
