"""The transport beside botocore's own way: the same attempts and the same outcome, whatever the network does."""

from __future__ import annotations

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from benchmarks.certificate import HERE, certificate
from eventfold.dynamodb.client import aws_session, create_client
from eventfold.dynamodb.transport import Transport
from eventfold.testing.faults import pauses
from tests.scripted_server import (
    BODY,
    CUT_OFF,
    FAULTS,
    FINE,
    READ_TIMEOUT,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with pauses(lambda _: None):
        yield


def client_of(url: str, *, own: bool) -> DynamoDBClient:
    """Return a client with the transport, or one that goes botocore's own way."""
    return create_client(url, connect_timeout=READ_TIMEOUT, read_timeout=READ_TIMEOUT, own_transport=own)


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


def test_a_verified_session_is_kept_and_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, authority = certificate(tmp_path)
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
    names = (x509.DNSName("another.example"),) if what == "name" else HERE
    tls, authority = certificate(tmp_path, names=names, days=-1 if what == "expired" else 1)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    if what != "authority":
        monkeypatch.setenv("AWS_CA_BUNDLE", authority)
    with Server(tls=tls) as server:
        both = [outcome(client_of(server.url, own=own)) for own in (True, False)]
        assert both == ["SSLError ", "SSLError "]
        assert server.requests == 0
