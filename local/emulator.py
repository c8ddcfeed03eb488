"""The emulator as a child process: one port on loopback, everything it keeps in one folder."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
from botocore.exceptions import BotoCoreError

from local.ports import HOST, is_free
from local.tether import tethered
from local.toolchain import EMULATOR_PYTHON, StepError, credentials, environment, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_SECONDS = 60
LOG = "emulator.log"


@contextmanager
def running(port: int, home: Path, *, auth: bool = False, keep: Sequence[int] = ()) -> Iterator[str]:
    """Start the emulator, yield its URL, stop it. `home` keeps its state from one start to the next.

    With `auth`, each function runs under its own role, and IAM policies are enforced. `keep` are file descriptors that
    stay open until it has saved its state.

    Raises:
        StepError: the port is taken, it does not come up, or it has ended when the block could not reach it.
    """
    refuse_taken(port)
    home.mkdir(parents=True, exist_ok=True)
    _forget_stream_positions(home / "state")
    url = f"http://{HOST}:{port}"
    with (
        (home / LOG).open("wb") as output,
        tethered(
            [EMULATOR_PYTHON, "-m", "ministack"], home, _environment(port, home, auth=auth), output, keep
        ) as process,
    ):
        with step("Starting the emulator"):
            _wait(process, url, home)
        try:
            yield url
        except (BotoCoreError, httpx.TransportError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            if process.poll() is None:
                raise
            raise StepError(f"The emulator has ended, and what it had not saved is lost. {_log(home)}") from None


def _environment(port: int, home: Path, *, auth: bool) -> dict[str, str]:
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **environment(),
        **credentials(),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home / "s3"),
        "TMPDIR": str(temporary),
        "AUTH": "true" if auth else "false",
        "LAMBDA_WARM_TTL_SECONDS": "86400",
        "LOG_LEVEL": "WARNING",
        # Listeners of services that no part of the stack uses.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def refuse_taken(port: int) -> None:
    """Refuse a port that the emulator can't listen on.

    Raises:
        StepError: somebody listens there.
    """
    if not is_free(port):
        raise StepError(f"Port {port} is taken. Stop what listens there, or choose another: make run PORT={port + 1}")


def _log(home: Path) -> str:
    lines = (home / LOG).read_text(errors="replace").splitlines()
    return "\n".join([f"Its log, {home / LOG}, ends:", *lines[-15:]]) if lines else f"Its log, {home / LOG}, is empty."


def _forget_stream_positions(state: Path) -> None:
    """Let stream mappings start at the stream's beginning.

    The emulator keeps how far each mapping has read but not the records it counts, and would pass over as many
    new ones as it had read before.
    """
    file = state / "lambda.json"
    if file.is_file():
        kept = json.loads(file.read_text())
        kept["payload"].pop("dynamodb_stream_positions", None)
        file.write_text(json.dumps(kept))


def _wait(process: subprocess.Popen[bytes], url: str, home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/_ministack/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise StepError(f"The emulator did not answer on {url} within {START_SECONDS} s. {_log(home)}")
