"""`sam local invoke` and `sam local start-api` on the tables of `make run`: all that they do up to Docker.

The SAM CLI's own code reads samconfig.toml, the template and the environment file; the function then runs as the container
would run it: its folder and layers, its variables and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from local.build import LOCAL_BUILD
from local.toolchain import credentials, sam_profile
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import Stack

pytestmark = pytest.mark.stack

RESOLVED = """
import json, sys
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.config.samconfig import SamConfig
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

root, env, command, env_file = sys.argv[1:]
config = SamConfig(root).get_all(["local", command], "parameters", env)
assert config["env_vars"] == ".local/sam-env.json" and config["docker_network"] == "host"
parameters = dict(one.split("=", 1) for one in config["parameter_overrides"].split())
stacks, _ = SamLocalStackProvider.get_stacks(f"{root}/{config['template_file']}", parameter_overrides=parameters)
functions = SamFunctionProvider(stacks, ignore_code_extraction_warnings=True)
runner = LocalLambdaRunner(None, functions, f"{root}/.local/build", f"{root}/.local/build", env_vars_values=json.load(open(env_file)))
found = {}
for function in functions.get_all():
    config = runner.get_invoke_config(function)
    found[function.name] = {
        "code": config.code_abs_path, "handler": config.handler, "layers": [one.codeuri for one in function.layers],
        "variables": config.env_vars.resolve(),
    }
routes = [(method, one.path, one.function_name) for one in ApiProvider(stacks).api.routes for method in one.methods]
print(json.dumps({"functions": found, "routes": routes}))
"""
CALL = """
import json, sys
sys.path[:0] = sys.argv[1].split(":")
from handler import lambda_handler
from types import SimpleNamespace
context = SimpleNamespace(**json.loads(sys.argv[3]), get_remaining_time_in_millis=lambda: 30_000)
print("ANSWER", json.dumps(lambda_handler(json.load(open(sys.argv[2])), context)))
"""


def resolved(command: str, environment: Path) -> dict[str, Any]:
    """Return what the SAM CLI makes of template, configuration and environment."""
    python = ROOT / ".tools" / "sam" / "bin" / "python"
    done = subprocess.run(  # noqa: S603 - the SAM CLI's own Python
        [str(python), "-c", RESOLVED, str(ROOT), sam_profile(), command, str(environment)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def environment(deployed: Stack, tmp_path: Path) -> Path:
    file = tmp_path / "sam-env.json"
    file.write_text(json.dumps({"Parameters": deployed.environment}))
    return file


@pytest.mark.parametrize(
    ("function", "event", "status"),
    [
        ("CommandsFunction", "commands/create-user.json", 201),
        ("QueriesFunction", "queries/list-users.json", 200),
    ],
)
def test_a_function_runs_on_the_stack_s_tables(
    deployed: Stack, environment: Path, function: str, event: str, status: int
) -> None:
    found = resolved("invoke", environment)["functions"][function]
    expected = {name: value for name, value in deployed.environment.items() if name != "FAILURES_BUCKET"}
    assert found["variables"].items() >= expected.items()
    path = [found["code"], *(f"{LOCAL_BUILD}/{layer}/python" for layer in found["layers"])]
    about = {"function_name": "f", "memory_limit_in_mb": 1, "invoked_function_arn": "arn", "aws_request_id": "1"}
    done = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-I", "-c", CALL, ":".join(path), str(ROOT / "events" / event), json.dumps(about)],
        env=found["variables"] | credentials(),
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert answers, done.stderr
    assert json.loads(answers[0])["statusCode"] == status, answers


def test_start_api_finds_the_routes(environment: Path) -> None:
    routes = resolved("start-api", environment)["routes"]
    assert {(method, function) for method, path, function in routes if path == "/{proxy+}"} >= {
        ("GET", "QueriesFunction"),
        ("POST", "CommandsFunction"),
        ("PATCH", "CommandsFunction"),
        ("DELETE", "CommandsFunction"),
    }
