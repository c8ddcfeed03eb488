"""The whole stack on this machine: the real template, deployed by the real SAM CLI, on the emulator."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import httpx

from local import emulator
from local.build import LOCAL_BUILD, local_build, source_digest
from local.routes import make_routes
from local.toolchain import REGION, ROOT, SAM, StepError, credentials, environment, run, sam_profile, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient

STACK = "eventfold-local"
ACCOUNT = "000000000000"
"""The emulator's account."""
ANSWER_SECONDS = 30
_SWEEP_BATCH = 100
_CLOSED = {401, 403}  # an answer too, where routes are closed


@dataclass(frozen=True)
class Stack:
    """A deployed stack."""

    endpoint_url: str
    outputs: dict[str, str]

    @property
    def api_url(self) -> str:
        """The API's base URL. By path, since `*.localhost` is no name everywhere."""
        return f"{self.endpoint_url}/_aws/execute-api/{self.outputs['ApiId']}/%24default"

    @property
    def dynamodb(self) -> DynamoDBClient:
        """A DynamoDB client."""
        client: DynamoDBClient = _session().client("dynamodb", endpoint_url=self.endpoint_url)
        return client

    @property
    def functions(self) -> LambdaClient:
        """A Lambda client."""
        client: LambdaClient = _session().client("lambda", endpoint_url=self.endpoint_url)
        return client

    @property
    def logs(self) -> CloudWatchLogsClient:
        """A CloudWatch Logs client."""
        client: CloudWatchLogsClient = _session().client("logs", endpoint_url=self.endpoint_url)
        return client

    def function_name(self, resource: str) -> str:
        """Return the deployed name of a function of the template."""
        cloudformation = _cloudformation(self.endpoint_url)
        found = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId=resource)
        return found["StackResourceDetail"]["PhysicalResourceId"]


@contextmanager
def running(home: Path, port: int | None = None, parameters: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Build, start, deploy, and wait for the API to answer; stop everything at the end.

    `home` keeps the stack's data from one start to the next. With `parameters` the template is deployed with these
    in the place of the local profile's, and IAM is enforced: each function runs under its own role.

    Raises:
        StepError: a part did not come up; says which and why.
    """
    local_build()
    restored = (home / "state").is_dir()
    with emulator.running(port or emulator.free_port(), home, auth=parameters is not None) as url:
        stamp, digest = home / "state" / ".deployed", source_digest()
        if not (stamp.is_file() and stamp.read_text() == digest):
            deploy(url, parameters)
            stamp.parent.mkdir(exist_ok=True)
            stamp.write_text(digest)
        stack = Stack(url, _outputs(url))
        _wait(stack)
        if restored:
            _sweep(stack)
        yield stack


def deploy(url: str, parameters: Mapping[str, str] | None = None) -> None:
    """Deploy the build, with the local profile's parameters or with these in their place.

    Raises:
        StepError: it failed; shows what SAM said.
    """
    overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
    config: list[str | Path] = ["--config-file", ROOT / "samconfig.toml", "--config-env", sam_profile()]
    command: list[str | Path] = [SAM, "deploy", *config, "--template-file", LOCAL_BUILD / "template.yaml"]
    if overrides:
        command += ["--parameter-overrides", *overrides]
    with step("Deploying template.yaml"):
        run(command, environment(url), "sam deploy")
        _make_routes(url)


def _make_routes(url: str) -> None:
    cloudformation = _cloudformation(url)
    (deployed,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in deployed["Parameters"]}
    template = cloudformation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
    resources = template["Resources"]
    body = resources["HttpApi"]["Properties"]["Body"]
    names = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    }
    functions = {
        name: f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{names[name]}"
        for name, found in resources.items()
        if found["Type"] == "AWS::Lambda::Function"
    }
    client: ApiGatewayV2Client = _session().client("apigatewayv2", endpoint_url=url)
    make_routes(client, names["HttpApi"], body, functions, parameters)


def _outputs(url: str) -> dict[str, str]:
    (found,) = _cloudformation(url).describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def _session() -> boto3.Session:
    keys = credentials()
    return boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name=REGION)


def _cloudformation(url: str) -> CloudFormationClient:
    client: CloudFormationClient = _session().client("cloudformation", endpoint_url=url)
    return client


def _wait(stack: Stack) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    answer = "nothing"
    with step("Waiting for the API to answer"):
        while time.monotonic() < deadline:
            try:
                response = httpx.get(f"{stack.api_url}/users", timeout=20)
            except httpx.HTTPError as error:
                answer = repr(error)
            else:
                if response.is_success or response.status_code in _CLOSED:
                    return
                answer = f"{response.status_code} {response.text[:300]}"
            time.sleep(0.2)
    raise StepError(f"The API did not answer within {ANSWER_SECONDS} s; the last answer: {answer}")


def _sweep(stack: Stack) -> None:
    """Wake the projections for the newest commit of every stream: a restart forgets the stream's own records."""
    newest: dict[str, dict[str, object]] = {}
    pages = stack.dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["EventsTableName"])
    for item in (item for page in pages for item in page["Items"] if "commit" in item):
        newest[item["stream"]["S"]] = dict(item)  # within a stream a scan goes in key order: the last one stays
    records = [
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(n), "NewImage": item}}
        for n, item in enumerate(newest.values())
    ]
    if not records:
        return
    function = stack.function_name("ProjectionsFunction")
    with step(f"Catching up with {len(records):,} streams"):
        for start in range(0, len(records), _SWEEP_BATCH):
            payload = json.dumps({"Records": records[start : start + _SWEEP_BATCH]})
            answer = stack.functions.invoke(FunctionName=function, Payload=payload)
            if "FunctionError" in answer:
                raise StepError(f"The projections can't catch up: {answer['Payload'].read().decode()[:500]}")
