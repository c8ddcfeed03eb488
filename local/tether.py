"""Run a program that must not outlive whoever started it.

As a program, `python -m local.tether PROGRAM ...`: its standard input is the tether. The starter holds the other end
and writes nothing. When that end closes, by an orderly stop, a crash or kill -9, the program is asked to end, and
after `STOP_SECONDS` it is killed; what the program itself started is killed with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO

STOP_SECONDS = 60


@contextmanager
def tethered(
    command: Sequence[str | Path],
    folder: Path,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int = subprocess.DEVNULL,
    keep: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a folder until the end of the block; yield the process that ends with it, in either order.

    File descriptors in `keep` stay open until the program has ended, so that a lock covers its last moments.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "local.tether", *command],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        pass_fds=keep,
        start_new_session=True,  # Ctrl-C and a closed terminal reach the starter alone, which stops it in order.
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def main(command: Sequence[str]) -> int:
    """Run a program until it ends or the tether does; return its exit code."""
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: program.terminate())
    threading.Thread(target=_end_with_the_starter, args=(program,), daemon=True).start()
    code = program.wait()
    _kill_group(program.pid)
    return code


def _end_with_the_starter(program: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    program.terminate()
    try:
        program.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
