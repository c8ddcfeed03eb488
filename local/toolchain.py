"""Running the tools that `make setup` installed: their places, their environment, and one line a step."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

ROOT = Path(__file__).parents[1]
LOCAL = ROOT / ".local"
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
EMULATOR_PYTHON = ROOT / ".tools" / "emulator" / "bin" / "python"
REGION = "us-east-1"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

console = Console(highlight=False, soft_wrap=True)


class StepError(Exception):
    """Something the stack needs did not work. The message says what, why, and what to do."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is waited for, then how long it took."""
    started = time.monotonic()
    with console.status(f"{name} ..."):
        yield
    console.print(f"[green]✓[/] {name} [dim]{time.monotonic() - started:.1f} s[/]")


def environment(endpoint_url: str | None = None) -> dict[str, str]:
    """Return the environment for tools: this project's Python first, and no way to a real account by accident."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") or name == "AWS_CA_BUNDLE"}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode each start of a tool compiles all that it imports
    kept["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{kept.get('PATH', '')}"
    kept["SAM_CLI_TELEMETRY"] = "0"
    if endpoint_url is not None:
        kept |= credentials() | {"AWS_ENDPOINT_URL": endpoint_url}
    return kept


def credentials() -> dict[str, str]:
    """Return the emulator's credentials, which open nothing else."""
    return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


def run(command: Sequence[str | Path], env: Mapping[str, str], what: str) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        StepError: it failed; shows the end of its output.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=dict(env),
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise StepError(f"{what} failed with code {done.returncode}:\n{tail}")
    return done.stdout


def sam_profile() -> str:
    """Return samconfig.toml's local profile for this machine's processor."""
    return "local-arm64" if platform.machine() in {"arm64", "aarch64"} else "local"


def _stop_once(number: int, _frame: FrameType | None) -> None:
    """Begin to stop; a second signal (make passes SIGTERM on, so a group gets it twice) must not cut that short."""
    for one in _STOP_SIGNALS:  # by a handler: Python complains of a signal on its way that is now to be ignored
        signal.signal(one, lambda *_: None)
    if number == signal.SIGHUP:  # the terminal is gone, and writing to it would fail
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise KeyboardInterrupt


def main_guard(main: Callable[[], int]) -> None:
    """Run a program's main; an expected failure is a message and code 1, Ctrl-C code 130, neither a traceback."""
    for one in _STOP_SIGNALS:
        if not (one == signal.SIGHUP and signal.getsignal(one) == signal.SIG_IGN):  # nohup
            signal.signal(one, _stop_once)
    try:
        code = main()
    except StepError as error:
        console.print("[red]✗[/]", escape(str(error)))
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
