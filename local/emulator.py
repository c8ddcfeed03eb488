"""The emulator as a child process: one port on loopback, everything it keeps in one folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from local.toolchain import EMULATOR_PYTHON, StepError, credentials, environment, step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 30


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def running(port: int, home: Path, *, auth: bool = False) -> Iterator[str]:
    """Start the emulator, yield its URL, stop it. `home` keeps its state from one start to the next.

    With `auth`, each function runs under its own role, and IAM policies are enforced.

    Raises:
        StepError: the port is taken, or it does not come up.
    """
    _refuse_taken(port)
    home.mkdir(parents=True, exist_ok=True)
    _forget_stream_positions(home / "state")
    url = f"http://{HOST}:{port}"
    log = home / "emulator.log"
    with log.open("ab") as output, step("Starting the emulator"):
        process = subprocess.Popen(
            [EMULATOR_PYTHON, "-m", "ministack"],
            cwd=home,
            env=_environment(port, home, auth=auth),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order.
        )
        try:
            _wait(process, url, log)
        except BaseException:
            _stop(process)
            raise
    try:
        yield url
    finally:
        _stop(process)


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


def _refuse_taken(port: int) -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError as error:
            raise StepError(
                f"Port {port} is taken. Stop what listens there, or choose another: make run PORT={port + 1}"
            ) from error


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


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/_ministack/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise StepError(f"The emulator did not answer on {url} within {START_SECONDS} s. It said:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to save its state and end; end its functions' processes with it."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
