"""The command line on moto: stacks whose outputs name the tables, and every part wired anew."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from eventfold.cli import main as cli
from eventfold.dynamodb.client import aws_session
from tests.conftest import CLAIMS_KEY, CLAIMS_TABLE, EVENTS_TABLE, FAILURES_BUCKET, PARKED_TABLE, READ_MODELS_TABLE
from tests.functions.application import Application, capture, forget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient

    type Stacks = dict[tuple[str, str], Mapping[str, str]]

STOPPED = "http://127.0.0.1:9"
"""Where nobody listens."""
OUTPUTS = {
    "EventsTableName": EVENTS_TABLE,
    "ReadModelsTableName": READ_MODELS_TABLE,
    "ParkedTableName": PARKED_TABLE,
    "ClaimsTableName": CLAIMS_TABLE,
    "ClaimsKeyArn": CLAIMS_KEY,
    "FailuresBucketName": FAILURES_BUCKET,
}
AWS = ("--stack", "eventfold")


@pytest.fixture(autouse=True)
def session() -> Iterator[None]:
    """Leave no session behind that a command has set its profile or region on."""
    yield
    aws_session.cache_clear()


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Stacks:
    """The stacks that CloudFormation knows: their outputs by region and name.

    moto's CloudFormation needs every other service's packages; one call of it is all that is asked here.
    """
    known: Stacks = {("eu-west-1", "eventfold"): OUTPUTS}
    call = BaseClient._make_api_call  # type: ignore[attr-defined] # not in the stubs

    def answered(client: BaseClient, operation: str, params: dict[str, Any]) -> Any:
        if operation != "DescribeStacks" or client.meta.endpoint_url == STOPPED:
            return call(client, operation, params)
        name = params["StackName"]
        outputs = known.get((client.meta.region_name, name))
        if outputs is None:
            message = f"Stack with id {name} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, operation)
        return {"Stacks": [{"Outputs": [{"OutputKey": key, "OutputValue": outputs[key]} for key in outputs]}]}

    monkeypatch.setattr(BaseClient, "_make_api_call", answered)
    return known


@pytest.fixture
def app(
    moto_client: DynamoDBClient,
    stacks: Stacks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Application]:
    """The functions on the tables of the stack `eventfold`, in a folder where no local stack runs."""
    monkeypatch.chdir(tmp_path)
    capture(monkeypatch)
    forget()
    yield Application(moto_client, EVENTS_TABLE, capsys)
    forget()


@dataclass(frozen=True)
class Ended:
    """What a run of the command line printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run the command line as its entry point does: what goes wrong is in the exit code, not an exception.

    Each run has a session of its own, as a process has: boto3 extends the one that it is given.
    """

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        aws_session.cache_clear()

        def entry() -> int:
            monkeypatch.setattr(sys, "argv", ["eventfold", *arguments])
            try:
                cli.main()
            except SystemExit as end:
                return int(end.code or 0)
            raise AssertionError("a command line ends with an exit code")

        runner = CliRunner(env={"COLUMNS": "80"})
        with runner.isolation() as (out, err, _):
            code = entry()
            return Ended(code, out.getvalue().decode(), err.getvalue().decode())

    return run
