"""Ports on loopback."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
_CHOICE = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections, so that none of those takes one that was free just now."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    return next(port for port in random.sample(_CHOICE, len(_CHOICE)) if is_free(port))


def is_free(port: int) -> bool:
    """Whether a server can listen on a port."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
        return True
