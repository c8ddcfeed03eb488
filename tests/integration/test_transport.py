"""The transport beside botocore's own way: the same attempts and the same outcome, whatever the network does."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from eventfold.dynamodb.client import aws_session, create_client
from eventfold.dynamodb.transport import Transport
from eventfold.testing.faults import pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient

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


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with pauses(lambda _: None):
        yield


def client_of(url: str, *, own: bool) -> DynamoDBClient:
    """Return a client with the transport, or one that goes botocore's own way."""
    client = create_client(url, connect_timeout=READ_TIMEOUT, read_timeout=READ_TIMEOUT)
    if own:
        assert Transport.install(client, aws_session())
    return client


def outcome(client: DynamoDBClient) -> str:
    try:
        answer = client.get_item(TableName="t", Key={"key": {"S": "a"}})
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is the same both ways
        answered: Any = getattr(failure, "response", None) or {}
        return f"{type(failure).__name__} {answered.get('Error', {}).get('Code', '')}"
    how = "answered" if answer.get("Item") == json.loads(BODY)["Item"] else f"answered {answer.get('Item')}"
    return f"{how} after {answer['ResponseMetadata']['RetryAttempts']} retries"


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_as_it_does_botocore_s_own_way(fault: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for own in (True, False):
        with Server(*[FAULTS[fault]] * times) as server:
            client = client_of(server.url, own=own)
            found.append((outcome(client), server.requests, outcome(client)))
    assert found[0] == found[1]
    assert found[0][1] <= 3


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("cut", CUT_OFF)
def test_an_answer_that_is_cut_off_is_no_answer(cut: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, botocore takes one without its last headers for an empty one, and what is left of a body after the last try."""
    with Server(*[CUT_OFF[cut]] * times) as server:
        client = client_of(server.url, own=True)
        expected = f"answered after {times} retries" if times < 3 else "ConnectionClosedError "
        assert (outcome(client), server.requests) == (expected, min(times + 1, 3))


@pytest.mark.parametrize("shape", FINE)
def test_an_answer_of_any_shape_is_read(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(*[FINE[shape]] * 3) as server:
        client = client_of(server.url, own=True)
        assert [outcome(client) for _ in range(4)] == ["answered after 0 retries"] * 4
        kept = shape in {"whole", "in pieces", "in chunks", "after an interim answer"}
        assert (server.requests, server.connections) == (4, 1 if kept else 4)


def test_a_connection_that_was_closed_meanwhile_is_found_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        client = client_of(server.url, own=True)
        for connections in (1, 2, 3):
            assert outcome(client) == "answered after 0 retries"
            assert (server.requests, server.connections) == (connections, connections)
            server.hang_up()


def test_nobody_there_is_told_as_botocore_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://nobody.invalid:8000", "http://127.0.0.1:0"):
        both = [outcome(client_of(url, own=own)) for own in (True, False)]
        assert both[0] == both[1] == "EndpointConnectionError "


def test_threads_get_each_their_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        client = client_of(server.url, own=True)
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda _: outcome(client), range(400))) == {"answered after 0 retries"}
        assert server.requests == 400
        assert server.connections <= 400 - 16 * 10


def test_a_forked_process_takes_no_connection_of_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        client = client_of(server.url, own=True)
        assert outcome(client) == "answered after 0 retries"
        if (child := os.fork()) == 0:
            os._exit(0 if outcome(client) == "answered after 0 retries" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert server.connections == 2
        assert outcome(client) == "answered after 0 retries"
        assert server.connections == 2


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_botocore_s_own_way_is_taken_where_a_proxy_is_asked_for(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        client = client_of(server.url, own=True)
        assert Transport.install(client, aws_session()) is not None
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
        assert Transport.install(client, aws_session()) is None
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert Transport.install(client, aws_session()) is not None


def test_a_header_with_a_line_break_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        client = client_of(server.url, own=True)

        def smuggle(request: Any, **_: object) -> None:
            request.headers["x-more"] = "a\r\nx-amz-target: DynamoDB_20120810.DeleteTable"

        client.meta.events.register_first("before-send.dynamodb", smuggle)
        assert outcome(client) == "HTTPClientError "
        assert server.requests == 0


# TLS ------------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, *, names: list[x509.GeneralName], days: int = 1) -> tuple[ssl.SSLContext, str]:
    """Return a server's TLS context, and the file of the authority that has signed its certificate: itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "eventfold")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, str(chain)


HERE = [x509.IPAddress(ip_address("127.0.0.1"))]


def test_a_verified_session_is_kept_and_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, authority = certificate(tmp_path, names=[*HERE])
    monkeypatch.setenv("AWS_CA_BUNDLE", authority)
    with Server(tls=tls) as server:
        client = client_of(server.url, own=True)
        assert [outcome(client) for _ in range(3)] == ["answered after 0 retries"] * 3
        assert (server.connections, server.resumed) == (1, [False])
        server.hang_up()
        assert outcome(client) == "answered after 0 retries"
        assert (server.connections, server.resumed) == (2, [False, True])


@pytest.mark.parametrize("what", ["authority", "name", "expired"])
def test_a_certificate_that_is_not_right_gets_no_request(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[x509.GeneralName] = [x509.DNSName("another.example")] if what == "name" else [*HERE]
    tls, authority = certificate(tmp_path, names=names, days=-1 if what == "expired" else 1)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    if what != "authority":
        monkeypatch.setenv("AWS_CA_BUNDLE", authority)
    with Server(tls=tls) as server:
        both = [outcome(client_of(server.url, own=own)) for own in (True, False)]
        assert both == ["SSLError ", "SSLError "]
        assert server.requests == 0
