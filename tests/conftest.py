"""Fixtures for all tests: AWS by moto, AWS's own DynamoDB Local, and the two stores on them."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import boto3
import httpx
import hypothesis
import pytest
from moto import mock_aws

from eventfold.dynamodb import create_client
from local import dynamodb_local, stack
from tests.support import create_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

EVENTS_TABLE = "events"
hypothesis.settings.register_profile("fuzz", max_examples=1250)
hypothesis.settings.register_profile("default", deadline=None)  # A busy machine is no failure.
hypothesis.settings.load_profile("default")
READ_MODELS_TABLE = "read-models"
PARKED_TABLE = "parked"
CLAIMS_TABLE = "claims"
CLAIMS_KEY = "claims-key"
FAILURES_BUCKET = "failures"
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "eventfold")  # Read when the handlers are imported.


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What template.yaml sets, and credentials that open nothing."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "EVENTS_TABLE": EVENTS_TABLE,
        "READ_MODELS_TABLE": READ_MODELS_TABLE,
        "PARKED_TABLE": PARKED_TABLE,
        "CLAIMS_TABLE": CLAIMS_TABLE,
        "CLAIMS_KEY": CLAIMS_KEY,
        "FAILURES_BUCKET": FAILURES_BUCKET,
        "EVENTFOLD_APP": "app.main:application",
        "SNAPSHOT_EVERY": "5",
        "PROJECTION_WRITERS": "1",  # A fault at a named call hits the same call each time.
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def moto_client() -> Iterator[DynamoDBClient]:
    """DynamoDB by moto, with all tables, and the failures bucket on S3."""
    with mock_aws():
        client = create_client()
        create_table(client, "EventsTable", EVENTS_TABLE)
        create_table(client, "ReadModelsTable", READ_MODELS_TABLE)
        create_table(client, "ParkedTable", PARKED_TABLE)
        create_table(client, "ClaimsTable", CLAIMS_TABLE)
        secrets = boto3.client("secretsmanager", region_name="eu-west-1")
        secrets.create_secret(Name=CLAIMS_KEY, SecretString="k" * 64)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=FAILURES_BUCKET)
        yield client


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    """AWS's DynamoDB Local, started once; the endpoint's URL."""
    reason = dynamodb_local.available()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs DynamoDB Local: {reason}")
        pytest.skip(f"DynamoDB Local: {reason}")
    with dynamodb_local.running() as url:
        yield url


@pytest.fixture
def local_client(dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch) -> DynamoDBClient:
    """A client of DynamoDB Local, whose region no other test shares; no tables yet."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_local_url)
    return create_client(read_timeout=20)


@pytest.fixture
def local_tables(local_client: DynamoDBClient) -> Iterator[tuple[str, str]]:
    """An event table and a read-model table of one's own on DynamoDB Local."""
    suffix = uuid.uuid4().hex[:8]
    events, rows = f"events-{suffix}", f"read-models-{suffix}"
    create_table(local_client, "EventsTable", events)
    create_table(local_client, "ReadModelsTable", rows)
    yield events, rows
    local_client.delete_table(TableName=events)
    local_client.delete_table(TableName=rows)


@pytest.fixture
def local_claims(local_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A table of claims of one's own on DynamoDB Local."""
    name = f"claims-{uuid.uuid4().hex[:8]}"
    create_table(local_client, "ClaimsTable", name)
    monkeypatch.setenv("CLAIMS_TABLE", name)
    yield name
    local_client.delete_table(TableName=name)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    """The deployed stack, fresh: the real template on the emulator, shared by all tests that need it."""
    with stack.running(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def api(deployed: stack.Stack) -> Iterator[httpx.Client]:
    """An HTTP client of the deployed API."""
    with httpx.Client(base_url=deployed.api_url, timeout=60) as client:
        yield client


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not judged by the real thing."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "dynamodb_local" in report.keywords]
    if skipped:
        terminalreporter.section("NOT TESTED AGAINST DYNAMODB LOCAL", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests were skipped: races, limits and costs were not judged.", red=True)
        terminalreporter.line(f"Why: {dynamodb_local.available()} CI fails without it.", red=True)
