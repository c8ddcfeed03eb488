"""The whole stack on this machine: the real template, deployed by the real SAM CLI, on the emulator."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import ClientError

from local import emulator
from local.build import LOCAL_BUILD, local_build, source_digest
from local.locks import HeldError, locked
from local.ports import free_port
from local.routes import make_routes
from local.toolchain import REGION, ROOT, SAM, StepError, credentials, environment, run, sam_profile, step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient

STACK = "eventfold-local"
ACCOUNT = "000000000000"
"""The emulator's account."""
SOURCES_TAG = "sources"
"""The deployed API's tag that holds the digest of what everything was deployed from."""
ANSWER_SECONDS = 60
_SWEEP_BATCH = 100


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
    def api(self) -> ApiGatewayV2Client:
        """An API Gateway client."""
        client: ApiGatewayV2Client = _session().client("apigatewayv2", endpoint_url=self.endpoint_url)
        return client

    @property
    def sources(self) -> str | None:
        """The digest of the sources that all of it was deployed from; None if a deployment was cut short."""
        return self.api.get_tags(ResourceArn=self.api_arn)["Tags"].get(SOURCES_TAG) if self.outputs else None

    @property
    def api_arn(self) -> str:
        """The API's ARN."""
        return f"arn:aws:apigateway:{REGION}::/apis/{self.outputs['ApiId']}"

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
        once = Config(retries={"total_max_attempts": 1})  # whoever follows the logs looks again anyway
        client: CloudWatchLogsClient = _session().client("logs", endpoint_url=self.endpoint_url, config=once)
        return client

    def function_name(self, resource: str) -> str:
        """Return the deployed name of a function of the template."""
        cloudformation = _cloudformation(self.endpoint_url)
        found = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId=resource)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    @property
    def environment(self) -> dict[str, str]:
        """What a function's environment has of this stack."""
        named = (
            "EVENTS_TABLE",
            "READ_MODELS_TABLE",
            "PARKED_TABLE",
            "CLAIMS_TABLE",
            "CLAIMS_KEY",
            "FAILURES_BUCKET",
        )
        found = self.functions.get_function_configuration(FunctionName=self.function_name("RedriveFunction"))
        variables = found["Environment"]["Variables"]
        return {name: variables[name] for name in named} | {"AWS_ENDPOINT_URL": self.endpoint_url}

    def log_group(self, function: str) -> str:
        """Return the name of a function's log group."""
        found = self.functions.get_function_configuration(FunctionName=self.function_name(function))
        return found["LoggingConfig"]["LogGroup"]


@contextmanager
def running(home: Path, port: int | None = None, parameters: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Build, start, deploy, and wait for the API to answer; stop everything at the end.

    `home` keeps the stack's data from one start to the next, and while the API answers the files `api-url` and
    `sam-env.json`, by which `sam local` runs functions on this stack's tables. With
    `parameters` the template is deployed with these in the place of the local profile's, and IAM is enforced: each
    function runs under its own role.

    Raises:
        StepError: a stack runs in `home` already, or a part did not come up; says which and why.
    """
    port = port or free_port()
    api_url, kept = home / "api-url", home / "stack"
    with _only_one(home), locked(kept / "lock", wait=True) as lock:
        emulator.refuse_taken(port)
        api_url.unlink(missing_ok=True)  # after kill -9 it is still there
        local_build()
        # The emulator holds the lock too: after kill -9 the next start waits until the data is saved.
        with emulator.running(port, kept, auth=parameters is not None, keep=[lock]) as url:
            restored = _find(url)
            stack = restored if restored and restored.sources == source_digest() else deploy(url, parameters)
            _wait(stack)
            if restored:
                _sweep(stack)
            sam_env = home / "sam-env.json"
            try:
                api_url.write_text(stack.api_url + "\n")
                sam_env.write_text(json.dumps({"Parameters": stack.environment}))
                yield stack
            finally:
                api_url.unlink(missing_ok=True)
                sam_env.unlink(missing_ok=True)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock of the one stack of a folder.

    Raises:
        StepError: another process holds it; says where its API answers.
    """
    try:
        with locked(home / "lock", wait=False):
            yield
    except HeldError:
        try:
            where = f"it answers at {(home / 'api-url').read_text().strip()}"
        except FileNotFoundError:
            where = "it is starting or stopping"
        raise StepError(f"The stack of this folder runs already: {where}. Ctrl-C in its terminal stops it.") from None


def deploy(url: str, parameters: Mapping[str, str] | None = None) -> Stack:
    """Deploy the build, with the local profile's parameters or with these in their place; return the stack.

    Raises:
        StepError: it failed; shows what SAM said.
    """
    overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
    config: list[str | Path] = ["--config-file", ROOT / "samconfig.toml", "--config-env", sam_profile()]
    command: list[str | Path] = [SAM, "deploy", *config, "--template-file", LOCAL_BUILD / "template.yaml"]
    if overrides:
        command += ["--parameter-overrides", *overrides]
    with step("Deploying template.yaml"):
        said = run(command, environment(url), "sam deploy")
        stack = _find(url)
        if stack is None:
            raise StepError(f"sam deploy left no stack. It said:\n{said}")
        _make_routes(stack)
        _allow_plain_http(stack)
    return stack


def _make_routes(stack: Stack) -> None:
    """Give the API its routes, then the tag that says from which sources all was deployed."""
    cloudformation = _cloudformation(stack.endpoint_url)
    (deployed,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in deployed["Parameters"]}
    template = cloudformation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
    resources = template["Resources"]
    body = resources["HttpApi"]["Properties"]["Body"]
    functions = {
        name: f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{stack.function_name(name)}"
        for name, found in resources.items()
        if found["Type"] == "AWS::Lambda::Function"
    }
    make_routes(stack.api, stack.outputs["ApiId"], body, functions, parameters)
    stack.api.tag_resource(ResourceArn=stack.api_arn, Tags={SOURCES_TAG: source_digest()})


def _allow_plain_http(stack: Stack) -> None:
    """Take the bucket's policy away, which refuses all that is not sent over TLS: the emulator speaks none."""
    s3 = _session().client("s3", endpoint_url=stack.endpoint_url)
    s3.delete_bucket_policy(Bucket=stack.outputs["FailuresBucketName"])


def _find(url: str) -> Stack | None:
    """Return the stack that was deployed here; None if there is none."""
    try:
        (found,) = _cloudformation(url).describe_stacks(StackName=STACK)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return None
    return Stack(url, {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])})


def _session() -> boto3.Session:
    keys = credentials()
    return boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name=REGION)


def _cloudformation(url: str) -> CloudFormationClient:
    client: CloudFormationClient = _session().client("cloudformation", endpoint_url=url)
    return client


def _wait(stack: Stack) -> None:
    """Wait until the API answers on a route that reads, be it with a refusal."""
    path = _path_to_read([route["RouteKey"] for route in stack.api.get_routes(ApiId=stack.outputs["ApiId"])["Items"]])
    if path is None:
        return
    url = stack.api_url + path
    deadline = time.monotonic() + ANSWER_SECONDS
    answer = "nothing"
    with step("Waiting for the API to answer"):
        while time.monotonic() < deadline:
            try:
                response = httpx.get(url, timeout=20)
            except httpx.HTTPError as error:
                answer = repr(error)
            else:
                if not response.is_server_error:
                    return
                answer = f"{response.status_code} {response.text[:300]}"
            time.sleep(0.2)
    raise StepError(f"{url} did not answer within {ANSWER_SECONDS} s; the last answer: {answer}")


def _path_to_read(routes: Iterable[str]) -> str | None:
    """Return a path that one of these routes answers GET on; None if none does."""
    found = (re.fullmatch(r"(?:GET|ANY) (.*)|\$default", route) for route in routes)
    return next((re.sub(r"\{.*?\}", "-", one[1] or "/") for one in found if one), None)


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
