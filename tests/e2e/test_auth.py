"""Closed by default, on the deployed stack: signed requests, tokens, and each function under its own role."""

from __future__ import annotations

import base64
import json
import platform
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from eventfold import Commit, StoredEvent
from eventfold.dynamodb.items import commit_to_item
from eventfold.dynamodb.parked import DynamoDBParkedStore
from local import stack
from local.toolchain import REGION
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack

PARAMETERS = {
    "DeletionProtection": "false",
    "BasePath": "/v1",
    "CorsOrigins": "https://app.example.com,https://example.com",
    "Architecture": "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64",
}
ROUTES = [
    (method.upper(), path)
    for path, operations in json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"].items()
    for method in operations
]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    """The stack as it is deployed to AWS without a word about authorization, and with IAM enforced."""
    with stack.running(tmp_path_factory.mktemp("closed"), parameters=PARAMETERS) as running:
        yield running


def signed(deployed: stack.Stack, method: str, path: str, body: object = None) -> httpx.Response:
    """Send a request signed as AWS's own tools do."""
    url = f"{deployed.api_url}{path}"
    content = json.dumps(body) if body is not None else ""
    request = AWSRequest(method, url, data=content, headers={"content-type": "application/json"})
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
    return httpx.request(method, url, content=content, headers=dict(request.headers), timeout=60)


def eventually(deployed: stack.Stack, path: str, status: int) -> httpx.Response:
    """Wait for an answer with this status."""
    deadline = time.monotonic() + 30
    while (response := signed(deployed, "GET", path)).status_code != status:
        assert time.monotonic() < deadline, response.text
        time.sleep(0.2)
    return response


def test_an_unsigned_request_is_403_on_every_route(closed: stack.Stack) -> None:
    assert len(ROUTES) == 17
    for method, path in [*ROUTES, ("GET", "/nowhere")]:
        response = httpx.request(method, f"{closed.api_url}{path.replace('{id}', 'x')}", json={}, timeout=60)
        assert response.status_code == 403, (method, path, response.text)


def test_a_browser_may_ask_from_a_page_of_a_named_origin_alone(closed: stack.Stack) -> None:
    def preflight(origin: str) -> httpx.Headers:
        asked = {"origin": origin, "access-control-request-method": "PATCH"}
        return httpx.options(f"{closed.api_url}/users/x", headers=asked, timeout=60).headers

    assert preflight("https://app.example.com")["access-control-allow-origin"] == "https://app.example.com"
    assert "if-match" in preflight("https://example.com")["access-control-allow-headers"]
    assert "access-control-allow-origin" not in preflight("https://evil.example")


def test_a_base_path_leads_where_the_path_without_it_does(closed: stack.Stack) -> None:
    created = signed(closed, "POST", "/v1/users", {"name": "Ada"})
    assert (created.status_code, created.headers["location"]) == (201, f"/v1/users/{created.json()['id']}")


def test_a_signed_caller_may_do_all_and_is_the_actor_and_the_functions_rights_suffice(closed: stack.Stack) -> None:
    created = signed(closed, "POST", "/users", {"name": "Ada"})
    assert created.status_code == 201, created.text
    user = f"/users/{created.json()['id']}"
    for n in range(51):
        assert signed(closed, "PATCH", user, {"name": f"Ada {n}"}).is_success
    (event, *_) = signed(closed, "GET", f"{user}/events").json()["events"]
    assert event["actor"].startswith("arn:aws:iam::")
    assert eventually(closed, user, 200).json()["id"] == created.json()["id"]
    assert signed(closed, "GET", f"{user}/state?version=3").json()["name"] == "Ada 1"
    assert signed(closed, "GET", f"{user}?min_version=52").json()["name"] == "Ada 50"
    assert signed(closed, "DELETE", user).status_code == 204
    eventually(closed, user, 410)
    deadline = time.monotonic() + 30
    while (stats := signed(closed, "GET", "/stats").json())["deleted"] != 1:
        assert time.monotonic() < deadline, stats
        time.sleep(0.2)
    items = closed.dynamodb.scan(TableName=closed.outputs["EventsTableName"])["Items"]
    assert [item["version"]["N"][-2:] for item in items if "state" in item] == [".5"]
    redriven = closed.functions.invoke(FunctionName=closed.function_name("RedriveFunction"), Payload=b"{}")
    assert json.loads(redriven["Payload"].read()) == {"redriven": 0, "parked": 0}


def overwrite(deployed: stack.Stack, stream: str, version: int, event: StoredEvent) -> None:
    """Put a commit into the event table, as nothing but an operator could."""
    commit = Commit(stream, version, (event,), id=f"commit-{version}", at=datetime.now(UTC))
    deployed.dynamodb.put_item(TableName=deployed.outputs["EventsTableName"], Item=commit_to_item(commit))


def eventually_parked(deployed: stack.Stack, stream: str, *projections: str) -> None:
    """Wait until a stream is parked for these projections and no other."""
    parked = DynamoDBParkedStore(deployed.dynamodb, deployed.outputs["ParkedTableName"])
    deadline = time.monotonic() + 30
    while (found := sorted(one.projection for one in parked.listed() if one.stream == stream)) != list(projections):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_parking_and_redriving_need_no_more_than_their_roles_allow(closed: stack.Stack) -> None:
    def redrive() -> dict[str, int]:
        answer = closed.functions.invoke(FunctionName=closed.function_name("RedriveFunction"), Payload=b"{}")
        result: dict[str, int] = json.loads(answer["Payload"].read())
        return result

    id_ = signed(closed, "POST", "/users", {"name": "Ada"}).json()["id"]
    stream, unknown = f"user-{id_}", StoredEvent(type="Nobody knows", v=1, data={})
    eventually(closed, f"/users/{id_}", 200)
    overwrite(closed, stream, 2, unknown)
    eventually_parked(closed, stream, "directory", "stats")
    assert redrive() == {"redriven": 0, "parked": 2}
    overwrite(closed, stream, 2, StoredEvent(type="UserUpdated", v=1, data={"name": "Bea"}))
    assert signed(closed, "PATCH", f"/users/{id_}", {"email": "bea@example.com"}).json()["version"] == 3
    eventually_parked(closed, stream)  # the projection function itself heals the gap, and releases
    overwrite(closed, stream, 4, unknown)
    eventually_parked(closed, stream, "directory", "stats")
    overwrite(closed, stream, 4, StoredEvent(type="UserDeleted", v=1, data={}))
    assert redrive() == {"redriven": 2, "parked": 0}
    assert signed(closed, "GET", f"/users/{id_}").status_code == 410


class Issuer:
    """An OpenID issuer with a throw-away key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = rsa.generate_private_key(65537, 2048)

    def token(self, key: rsa.RSAPrivateKey | None = None, alg: str = "RS256", **claims: object) -> str:
        """Return a token for the API, good for five minutes unless the claims say otherwise."""
        now = int(time.time())
        payload = {"iss": self.url, "aud": "api", "sub": "user-42", "iat": now, "exp": now + 300, **claims}
        text = f"{encoded({'alg': alg, 'kid': 'k', 'typ': 'JWT'})}.{encoded(payload)}"
        if alg == "none":
            return f"{text}."
        signature = (key or self.key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{unpadded(signature)}"

    def document(self, path: str) -> dict[str, object]:
        """Return what the issuer publishes."""
        if "openid-configuration" in path:
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        numbers = self.key.public_key().public_numbers()
        n, e = (unpadded(x.to_bytes((x.bit_length() + 7) // 8, "big")) for x in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "n": n, "e": e}]}


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(value: object) -> str:
    return unpadded(json.dumps(value).encode())


@contextmanager
def serving() -> Iterator[Issuer]:
    """Serve an issuer on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.document(self.path)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield issuer
        server.shutdown()


def test_a_token_of_the_issuer_opens_the_api_and_nothing_else_does(closed: stack.Stack) -> None:
    with serving() as issuer:
        jwt = {"AuthMode": "JWT", "JwtIssuer": issuer.url, "JwtAudience": "api"}
        stack.deploy(closed.endpoint_url, PARAMETERS | jwt)

        def send(token: str | None) -> httpx.Response:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            return httpx.post(f"{closed.api_url}/users", json={"name": "Ada"}, headers=headers, timeout=60)

        stranger = rsa.generate_private_key(65537, 2048)
        refused = {
            "no token": None,
            "another key": issuer.token(stranger),
            "another audience": issuer.token(aud="other"),
            "another issuer": issuer.token(iss="http://127.0.0.1:1"),
            "expired": issuer.token(exp=int(time.time()) - 60),
            "no signature": issuer.token(alg="none"),
            "no token at all": "abc",
        }
        assert {name: send(token).status_code for name, token in refused.items()} == dict.fromkeys(refused, 401)
        created = send(issuer.token())
        assert created.status_code == 201, created.text
        path = f"{closed.api_url}/users/{created.json()['id']}/events"
        trail = httpx.get(path, headers={"authorization": f"Bearer {issuer.token()}"}, timeout=60).json()
        assert [event["actor"] for event in trail["events"]] == ["user-42"]
