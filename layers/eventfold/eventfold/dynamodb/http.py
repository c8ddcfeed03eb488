"""As much of HTTP/1.1 as a request to DynamoDB takes: one message out, one answer in.

https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from urllib.parse import SplitResult

MAX_HEAD_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_INFORMATIONAL, _NO_CONTENT, _NOT_MODIFIED, _OK = 100, 204, 304, 200


class MalformedAnswerError(Exception):
    """What came is no answer in HTTP."""


class Answer(NamedTuple):
    """An answer; `keeps` says whether its connection takes another request."""

    status: int
    headers: dict[str, str]
    body: bytes
    keeps: bool


def to_bytes(method: str, place: SplitResult, headers: Mapping[str, str | bytes], body: str | bytes | None) -> bytes:
    """Return a request as it goes over the wire.

    Raises:
        ValueError: a header has a line break, or a character that no header may have.
    """
    path = f"{place.path or '/'}?{place.query}" if place.query else place.path or "/"
    lines = [f"{method} {path} HTTP/1.1", f"Host: {place.netloc}", "Accept-Encoding: identity"]
    for name, value in headers.items():
        lines.append(f"{name}: {value.decode('latin-1') if isinstance(value, bytes) else value}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header has a line break")
    content = body.encode() if isinstance(body, str) else body or b""
    return f"{head}\r\n\r\n".encode("latin-1") + content


def read_answer(sock: socket.socket) -> Answer:
    """Read one answer.

    Raises:
        MalformedAnswerError: it is none.
        EOFError: the other end closed before it was there whole.
        OSError: the connection failed; TimeoutError: nothing came in time.
    """
    status, first, headers, rest = _read_head(sock)
    while _INFORMATIONAL <= status < _OK:
        status, first, headers, rest = _read_head(sock, rest)
    wants_close = headers.get("connection", "").lower()
    keeps = wants_close == "keep-alive" if first == b"HTTP/1.0" else wants_close != "close"
    if status in {_NO_CONTENT, _NOT_MODIFIED}:
        return Answer(status, headers, b"", keeps and not rest)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, rest = _read_chunks(sock, rest)
        return Answer(status, headers, body, keeps and not rest)
    if (length := headers.get("content-length")) is None:
        return Answer(status, headers, _read_to_end(sock, rest), keeps=False)
    if not length.isascii() or not length.isdigit():
        raise MalformedAnswerError("its length is no number")
    size = int(length)
    if len(rest) < size:
        rest = _read_up_to(sock, rest, size)
    return Answer(status, headers, rest[:size], keeps and len(rest) == size)


def _read_head(sock: socket.socket, buffer: bytes = b"") -> tuple[int, bytes, dict[str, str], bytes]:
    """Read to the end of the headers; return the status, the protocol, them, and what came behind."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise MalformedAnswerError("its headers have no end")
        buffer += _receive(sock)
    first, *lines = buffer[:end].split(b"\r\n")
    protocol, _, status = first.partition(b" ")
    if protocol not in {b"HTTP/1.1", b"HTTP/1.0"} or not status[:3].isdigit():
        raise MalformedAnswerError("it does not begin as an answer does")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise MalformedAnswerError("a header has no value")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status[:3]), protocol, headers, buffer[end + 4 :]


def _read_up_to(sock: socket.socket, buffer: bytes, size: int) -> bytes:
    parts, so_far = [buffer], len(buffer)
    while so_far < size:
        parts.append(_receive(sock))
        so_far += len(parts[-1])
    return b"".join(parts)


def _read_to_end(sock: socket.socket, buffer: bytes) -> bytes:
    parts = [buffer]
    while more := sock.recv(_CHUNK_BYTES):
        parts.append(more)
    return b"".join(parts)


def _read_chunks(sock: socket.socket, buffer: bytes) -> tuple[bytes, bytes]:
    """Read a body in chunks and its trailers; return it, and what came behind."""
    parts: list[bytes] = []
    while True:
        line, buffer = _read_line(sock, buffer)
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError as error:
            raise MalformedAnswerError("a chunk has no size") from error
        if size == 0:
            break
        while len(buffer) < size + 2:
            buffer += _receive(sock)
        if buffer[size : size + 2] != b"\r\n":
            raise MalformedAnswerError("a chunk is longer than it says")
        parts.append(buffer[:size])
        buffer = buffer[size + 2 :]
    while line:
        line, buffer = _read_line(sock, buffer)
    return b"".join(parts), buffer


def _read_line(sock: socket.socket, buffer: bytes) -> tuple[bytes, bytes]:
    while (end := buffer.find(b"\r\n")) < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise MalformedAnswerError("a line has no end")
        buffer += _receive(sock)
    return buffer[:end], buffer[end + 2 :]


def _receive(sock: socket.socket) -> bytes:
    more = sock.recv(_CHUNK_BYTES)
    if not more:
        raise EOFError("closed before the end of the answer")
    return more
