"""Requests to DynamoDB over kept connections: HTTP/1.1 on a socket, half the CPU of botocore's own way there.

botocore's `before-send` event lets a handler answer a request by itself. Signing, retries, checksums, credentials and
endpoints stay botocore's; certificates are checked by the TLS library, with the authorities that botocore trusts. Each
failure is raised as the error that botocore raises for it, so it is retried, or not, as ever. One is told that botocore
passes over: an answer that is cut off, of which it makes an empty one, or takes what there is after the last try.
https://docs.aws.amazon.com/boto3/latest/guide/events.html

botocore's own way is taken where a proxy, a client's certificate or keep-alive probes are asked for, and where moto's
handler answers. botocore asks every handler: another one that answers says so by `request.answered = True`.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.handlers import BUILTIN_HANDLERS
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from eventfold.dynamodb.http import Answer, MalformedAnswerError, read_answer, to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.parse import SplitResult

    from botocore.awsrequest import AWSPreparedRequest
    from botocore.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_IDLE = 10
"""Connections kept for each host, as many as botocore's pool."""
_PORTS = {"http": 80, "https": 443}


class Transport:
    """Sends one client's requests."""

    def __init__(self, *, connect_timeout: float, read_timeout: float, authorities: str) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._authorities = authorities
        self._idle: dict[str, deque[_Connection]] = {}
        self._hosts: dict[str, SplitResult] = {}
        self._tls: ssl.SSLContext | None = None
        self._sessions: dict[str, ssl.SSLSession | None] = {}
        self._others = [one[1] for one in BUILTIN_HANDLERS if one[0].startswith("before-send")]
        self._process = os.getpid()
        weakref.finalize(self, _close_all, self._idle)

    @classmethod
    def install(cls, client: DynamoDBClient, session: Session) -> Self | None:
        """Send a client's requests, unless it asks for what botocore's own way alone does; return what sends them."""
        config: Any = client.meta.config  # Its options are set when it is made, and typed nowhere.
        proxies = config.proxies or get_environ_proxies(client.meta.endpoint_url)
        if proxies or config.client_cert or config.tcp_keepalive:
            return None
        authorities: Any = session.get_config_variable("ca_bundle") or get_cert_path(verify=True)
        one = cls(connect_timeout=config.connect_timeout, read_timeout=config.read_timeout, authorities=authorities)
        events: Any = client.meta.events  # Typed as if no handler returned anything.
        events.register_last("before-send.dynamodb", one.before_send)
        return one

    def before_send(self, request: AWSPreparedRequest, **_kwargs: object) -> AWSResponse | None:
        """Answer a request; None where botocore, or another handler, is to do it.

        Raises:
            HTTPClientError, ConnectionError: those of botocore.
        """
        if any(getattr(other, "enabled", True) for other in self._others) or getattr(request, "answered", False):
            return None
        if getattr(request, "context", {}).get("read_timeout") is not None:  # One request's own timeout.
            return None
        url = request.url
        try:
            answer = self._exchange(request)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=url, error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=url, error=error) from error
        except (OSError, EOFError, MalformedAnswerError) as error:
            raise ConnectionClosedError(endpoint_url=url, request=request, error=error) from error
        except ValueError as error:
            raise HTTPClientError(error=error) from error
        return AWSResponse(url, answer.status, answer.headers, _Raw(answer.body))  # type: ignore[arg-type] # typed as urllib3's own

    def _exchange(self, request: AWSPreparedRequest) -> Answer:
        url = request.url
        place = self._hosts.get(url)
        if place is None:
            place = self._hosts[url] = urlsplit(url)
        headers: Any = request.headers
        body: Any = request.body  # bytes: DynamoDB has no streams
        message = to_bytes(request.method, place, headers, body)
        connection = self._connection(url, place)
        try:
            connection.sock.sendall(message)
            answer = read_answer(connection.sock)
        except BaseException:
            connection.close()
            raise
        if answer.keeps:
            self._keep(connection)
        else:
            connection.close()
        return answer

    def _connection(self, url: str, place: SplitResult) -> _Connection:
        """Return one that is kept and still open, the one used last first, or else a new one."""
        if self._process != os.getpid():  # Forked: what is open is the other process's.
            _close_all(self._idle)  # Here alone: it has its own descriptors.
            self._sessions.clear()
            self._process = os.getpid()
        idle = self._idle.get(place.netloc)
        while idle:
            try:
                kept = idle.pop()
            except IndexError:  # Another thread was faster.
                break
            if kept.is_open():
                return kept
            kept.close()
        return self._connect(url, place)

    def _keep(self, connection: _Connection) -> None:
        if isinstance(connection.sock, ssl.SSLSocket):
            self._sessions[connection.netloc] = connection.sock.session
        idle = self._idle.setdefault(connection.netloc, deque())
        if len(idle) < MAX_IDLE:
            idle.append(connection)
        else:
            connection.close()

    def _connect(self, url: str, place: SplitResult) -> _Connection:
        port = place.port or _PORTS[place.scheme]
        try:
            sock = socket.create_connection((place.hostname, port), timeout=self._connect_timeout)
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=url, error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=url, error=error) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if place.scheme == "https":
                resumed = self._sessions.get(place.netloc)
                sock = self._context().wrap_socket(sock, server_hostname=place.hostname, session=resumed)
            sock.settimeout(self._read_timeout)
        except BaseException:
            sock.close()
            raise
        return _Connection(sock, place.netloc)

    def _context(self) -> ssl.SSLContext:
        """Return the TLS settings, the library's defaults: verified, by name, against botocore's authorities."""
        if self._tls is None:
            folder = os.path.isdir(self._authorities)  # noqa: PTH112 - pathlib is an import more
            context = ssl.create_default_context(
                capath=self._authorities if folder else None, cafile=None if folder else self._authorities
            )
            context.set_alpn_protocols(["http/1.1"])
            self._tls = context
        return self._tls


def _close_all(idle: dict[str, deque[_Connection]]) -> None:
    for kept in idle.values():
        while kept:
            kept.pop().close()


class _Connection:
    """One connection to a host; kept, it waits for the next request."""

    __slots__ = ("_poll", "netloc", "sock")

    def __init__(self, sock: socket.socket, netloc: str) -> None:
        self.sock = sock
        self.netloc = netloc
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)

    def is_open(self) -> bool:
        """Whether the other end has said nothing since the last answer: else it has closed, or is out of step."""
        return not self._poll.poll(0)

    def close(self) -> None:
        self.sock.close()


class _Raw:
    """An answer's body, as botocore reads it."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_kwargs: Any) -> Iterator[bytes]:
        """Yield it whole."""
        yield self._body
