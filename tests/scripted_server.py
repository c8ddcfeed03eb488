"""A server that answers each request as it is told: well, cut off, in pieces, late, or with what is no HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

type Act = Callable[[Any, Callable[[bytes], None]], bool]
"""Deals with one request on a socket, which it may write to; whether the connection stays open."""

BODY = json.dumps({"Item": {"key": {"S": "a" * 3_000}}}).encode()
READ_TIMEOUT = 0.3


def head(*more: str, status: str = "200 OK", length: int | None = len(BODY)) -> bytes:
    """Return an answer's headers; with its checksum, where it is that of `BODY`."""
    lines = [f"HTTP/1.1 {status}", *([] if length is None else [f"Content-Length: {length}"]), *more]
    lines += [f"x-amz-crc32: {zlib.crc32(BODY)}"] if length == len(BODY) else []
    return "\r\n".join([*lines, "", ""]).encode()


def says(answer: bytes, *, stays: bool = True) -> Act:
    def act(_: Any, send: Callable[[bytes], None]) -> bool:
        send(answer)
        return stays

    return act


def error(status: str, code: str) -> bytes:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "m"}).encode()
    return head(status=status, length=len(body)) + body


def reset(sock: Any, _: Callable[[bytes], None]) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def silence(*_: object) -> bool:
    time.sleep(2 * READ_TIMEOUT)
    return False


def in_pieces(_: Any, send: Callable[[bytes], None]) -> bool:
    for byte in (answer := head() + BODY)[:150]:
        send(bytes([byte]))
    send(answer[150:])
    return True


def chunked(body: bytes, size: int = 700) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(one), one) for one in parts) + b"0\r\nx-trailer: 1\r\n\r\n"


CHUNKED = head("Transfer-Encoding: chunked", length=None)
GOOD = says(head() + BODY)
FAULTS: dict[str, Act] = {
    "closed": says(b"", stays=False),
    "reset": reset,
    "truncated in a chunk": says(CHUNKED + chunked(BODY)[:1_000], stays=False),
    "500": says(error("500 Internal Server Error", "InternalServerError")),
    "503 without a body": says(head(status="503 Service Unavailable", length=0)),
    "bad CRC": says(head("x-amz-crc32: 1", length=len(BODY) + 1) + BODY + b" "),
    "throttled": says(error("400 Bad Request", "ProvisionedThroughputExceededException")),
    "refused": says(error("400 Bad Request", "ValidationException")),
    "timed out": silence,
    "not HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", stays=False),
    "a chunk without a size": says(CHUNKED + b"zz\r\n", stays=False),
}
CUT_OFF: dict[str, Act] = {
    "in its headers": says(head()[:30], stays=False),
    "before its body": says(head(), stays=False),
    "in its body": says(head() + BODY[:1_000], stays=False),
}
FINE: dict[str, Act] = {
    "whole": GOOD,
    "in pieces": in_pieces,
    "in chunks": says(CHUNKED + chunked(BODY)),
    "after an interim answer": says(b"HTTP/1.1 100 Continue\r\n\r\n" + head() + BODY),
    "to the end of the connection": says(head(length=None) + BODY, stays=False),
    "and closed": says(head("Connection: close") + BODY, stays=False),
    "of HTTP/1.0": says((head() + BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1), stays=False),
}


class Server:
    """Deals with requests one after the other, as it is told, on any connection; then well."""

    def __init__(self, *acts: Act, tls: ssl.SSLContext | None = None) -> None:
        self.acts = list(acts)
        self.requests = 0
        self.connections = 0
        self.resumed: list[bool] = []
        self._tls = tls
        self._open: list[Any] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._open.clear()
        time.sleep(0.05)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock: Any = self._tls.wrap_socket(raw, server_side=True) if self._tls else raw
            self._open.append(sock)
            if self._tls:
                self.resumed.append(sock.session_reused)
            with sock:
                while self._request(sock):
                    self.requests += 1
                    act = self.acts.pop(0) if self.acts else GOOD
                    if not act(sock, sock.sendall):
                        break

    @staticmethod
    def _request(sock: Any) -> bool:
        """Read one whole request; whether there was one."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += (more := sock.recv(65_536))
            if not more:
                return False
        top, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:])
        while len(body) < int(fields[b"content-length"]):
            body += sock.recv(65_536)
        return True
