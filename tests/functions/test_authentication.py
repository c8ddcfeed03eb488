"""Who asks: from API Gateway's authorizer into the commit's metadata and out again in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.payloads import payload

if TYPE_CHECKING:
    from tests.functions.application import Application

ROLE = "arn:aws:sts::123456789012:assumed-role/front/session"

# As API Gateway sends them (payload format 2.0).
JWT = {
    "jwt": {
        "claims": {"sub": "auth0|ada", "iss": "https://issuer.example.com/", "aud": "users", "exp": "1767229200"},
        "scopes": None,
    }
}
IAM = {
    "iam": {
        "accessKey": "ASIAIOSFODNN7EXAMPLE",
        "accountId": "123456789012",
        "callerId": "AROAIOSFODNN7EXAMPLE:session",
        "cognitoIdentity": None,
        "principalOrgId": "aws:PrincipalOrgID",
        "userArn": ROLE,
        "userId": "AROAIOSFODNN7EXAMPLE:session",
    }
}


CLIENT = {"jwt": {"claims": {"client_id": "reports", "iss": "https://issuer.example.com/"}, "scopes": None}}


def identity(id_: str) -> dict[str, dict[str, Any]]:
    """Return an authorizer's word for one of a Cognito pool's identities: all share a role, and the session's name."""
    arn = "arn:aws:sts::123456789012:assumed-role/users-authenticated/CognitoIdentityCredentials"
    cognito = {"amr": ["unauthenticated"], "identityId": id_, "identityPoolId": "eu-west-1:pool"}
    return {"iam": IAM["iam"] | {"cognitoIdentity": cognito, "userArn": arn}}


IDENTITY = identity("eu-west-1:ada")


@pytest.mark.parametrize(
    ("authorizer", "actor"),
    [
        (JWT, "auth0|ada"),
        (IAM, ROLE),
        (None, None),
        ({}, None),
        ({"jwt": None, "iam": None}, None),
        ({"jwt": {"claims": None}}, None),
        ({"jwt": {"claims": {"iss": "x"}}}, None),
        ({"lambda": {"sub": "mallory"}}, None),
        (CLIENT, "reports"),
        (IDENTITY, "eu-west-1:ada"),
    ],
)
def test_the_caller_is_in_the_commit_and_in_the_audit_trail(
    app: Application, authorizer: dict[str, Any] | None, actor: str | None
) -> None:
    answer = app.request("POST", "/users", {"name": "Ada"}, authorizer=authorizer)
    assert answer.status == 201
    (commit,) = app.commits()
    assert commit.meta.get("actor") == actor
    (entry,) = app.request("GET", f"/users/{answer.body['id']}/events").body["events"]
    assert entry["actor"] == actor


@pytest.mark.parametrize("claims", [{"sub": "ada\ud800"}, {"sub": "ada\ud800", "client_id": "reports"}])
def test_a_caller_whose_name_is_no_text_is_nobody_and_has_no_keys(app: Application, claims: dict[str, str]) -> None:
    authorizer = {"jwt": {"claims": claims, "scopes": None}}
    assert app.request("POST", "/users", {"name": "Ada"}, authorizer=authorizer).status == 201
    assert "actor" not in app.commits()[0].meta
    headers = {"Idempotency-Key": "k"}
    assert app.request("POST", "/users", {"name": "Ada"}, authorizer=authorizer, headers=headers).status == 400


@pytest.mark.parametrize(
    ("name", "actor"),
    [
        ("create-user", "arn:aws:sts::123456789012:assumed-role/front/front"),
        ("create-user-iam-user", "arn:aws:iam::123456789012:user/back-office/jane"),
        ("create-user-cognito-identity", "eu-west-1:2f6c7a5e-40f1-4bd6-8f53-3c9a5b1d7e42"),
        ("create-user-jwt", "auth0|5f7c8ec7c33c6c004bbafe82"),
        ("create-user-jwt-client", "6ab8s1q0d3mv7u2kx9c5t4e1hn"),
        ("create-user-open", None),
    ],
)
def test_each_authorizers_payload_names_its_caller(app: Application, name: str, actor: str | None) -> None:
    assert app.send(payload(f"commands/{name}")).status == 201
    assert app.commits()[0].meta.get("actor") == actor


def test_each_command_is_under_its_own_callers_name(app: Application) -> None:
    id_ = app.request("POST", "/users", {"name": "Ada"}, authorizer=JWT).body["id"]
    app.request("PATCH", f"/users/{id_}", {"name": "B"}, authorizer=IAM)
    app.request("DELETE", f"/users/{id_}")
    entries = app.request("GET", f"/users/{id_}/events").body["events"]
    assert [entry["actor"] for entry in entries] == ["auth0|ada", ROLE, None]


@pytest.mark.parametrize("header", ["Authorization", "X-Actor", "X-Amzn-Oidc-Identity"])
def test_a_header_makes_nobody_an_actor(app: Application, header: str) -> None:
    app.request("POST", "/users", {"name": "Ada"}, headers={header: "mallory"})
    assert "actor" not in app.commits()[0].meta


def test_another_callers_repeat_of_a_key_on_the_same_user_is_refused(app: Application) -> None:
    id_ = app.create("Ada")
    headers = {"Idempotency-Key": "k"}
    assert app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers=headers, authorizer=JWT).status == 200
    assert app.request("PATCH", f"/users/{id_}", {"name": "B"}, headers=headers, authorizer=IAM).status == 422
    assert len(app.commits(id_)) == 2


SESSION = "arn:aws:sts::123456789012:assumed-role/front/another"
OTHERS = [
    "arn:aws:sts::123456789012:assumed-role/back/session",
    "arn:aws:sts::123456789012:assumed-role/front2/session",
    "arn:aws:sts::999999999999:assumed-role/front/session",
    "arn:aws:iam::123456789012:user/front/session",
]


def iam(arn: str) -> dict[str, dict[str, str]]:
    """Return an authorizer's word for an IAM principal."""
    return {"iam": {"userArn": arn}}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_role_repeats_its_key_from_another_session(app: Application, method: str) -> None:
    path = f"/users/{app.create('Ada')}" if method == "PATCH" else "/users"
    before = len(app.commits())
    first, again = (
        app.request(method, path, {"name": "B"}, headers={"Idempotency-Key": "k"}, authorizer=iam(arn))
        for arn in (ROLE, SESSION)
    )
    assert (first.status, first.body) == (again.status, again.body)
    assert len(app.commits()) == before + 1
    assert app.commits(first.body["id"])[-1].meta["actor"] == ROLE


@pytest.mark.parametrize("other", OTHERS)
def test_the_same_key_of_another_principal_is_another_request(app: Application, other: str) -> None:
    mine, theirs = (
        app.request("POST", "/users", {"name": "B"}, headers={"Idempotency-Key": "k"}, authorizer=iam(arn))
        for arn in (ROLE, other)
    )
    assert (mine.status, theirs.status) == (201, 201)
    assert mine.body["id"] != theirs.body["id"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (IDENTITY, identity("eu-west-1:bob")),
        (CLIENT, {"jwt": {"claims": {"client_id": "imports"}}}),
        (CLIENT, {"jwt": {"claims": {"sub": "reports"}}}),
        (
            iam("arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_1f/ada"),
            iam("arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_1f/bob"),
        ),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_callers_who_share_a_role_or_a_name_share_no_key(
    app: Application, method: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    path = f"/users/{app.create('Ada')}" if method == "PATCH" else "/users"
    first, again, second = (
        app.request(method, path, {"name": "B"}, headers={"Idempotency-Key": "k"}, authorizer=authorizer)
        for authorizer in (one, one, other)
    )
    assert first.status < 300
    assert (again.status, again.body) == (first.status, first.body)
    if method == "POST":
        assert second.status == 201
        assert second.body["id"] != first.body["id"]
    else:
        assert second.status == 422


@pytest.mark.parametrize(
    "authorizer",
    [{"jwt": {"claims": {"iss": "x", "sub": ""}}}, {"jwt": {"claims": None}}, {"iam": {}}, {"lambda": {"sub": "ada"}}],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_key_is_refused_from_whom_nobody_can_tell_from_others(
    app: Application, method: str, authorizer: dict[str, Any]
) -> None:
    id_ = app.create("Ada")
    path, body = "/users" if method == "POST" else f"/users/{id_}", None if method == "DELETE" else {"name": "B"}
    answer = app.request(method, path, body, headers={"Idempotency-Key": "k"}, authorizer=authorizer)
    assert answer.status == 400
    assert "can't be told from others" in answer.body["detail"]
    assert len(app.commits()) == 1
    assert app.request(method, path, body, authorizer=authorizer).status < 300


def test_the_caller_is_in_no_log_line(app: Application) -> None:
    app.request("POST", "/users", {"name": "Ada"}, authorizer=JWT)
    app.project()
    assert "auth0" not in app.printed()
