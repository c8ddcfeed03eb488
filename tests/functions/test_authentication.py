"""Who asks: from API Gateway's authorizer into the commit's metadata and out again in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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


def test_the_caller_is_in_no_log_line(app: Application) -> None:
    app.request("POST", "/users", {"name": "Ada"}, authorizer=JWT)
    app.project()
    assert "auth0" not in app.printed()
