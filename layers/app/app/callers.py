"""Who a request is from, by the word of API Gateway's authorizer: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from eventfold.core.stored import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROLE = re.compile(r"(arn:[^:]+:sts::\d+:assumed-role/(?!AWSReservedSSO_)[^/]+)/")
"""A role's own name in a session's ARN. IAM Identity Center gives people a role in common, and each a session by name.

https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
"""


class Caller(NamedTuple):
    """`actor` is who the audit trail names; None on an open route, and where the authorizer names nobody.

    `keys` is whose idempotency keys the request's key is among: of two callers the same key is two keys. All callers of
    an open route are one. None where the caller can't be told from others.
    """

    actor: str | None
    keys: str | None


def caller_of(authorizer: Mapping[str, Any] | None) -> Caller:
    """Return the caller: a Cognito identity, an IAM principal (a role in any session), a token's subject or client."""
    if not authorizer:
        return Caller(None, "")
    iam = authorizer.get("iam") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    found = {
        # Before the ARN, which names a role that all of a pool's identities share.
        "identity": (iam.get("cognitoIdentity") or {}).get("identityId"),
        "iam": iam.get("userArn"),
        "sub": claims.get("sub"),
        # A JWT's subject is optional (RFC 7519, 4.1.2), as where a program has the token, and no person.
        "client": claims.get("client_id"),
    }
    for kind, name in found.items():
        if isinstance(name, str) and name:
            if not is_text(name):
                break  # A name that no store can keep names nobody.
            role = _ROLE.match(name) if kind == "iam" else None
            return Caller(name, f"{kind} {role[1] if role else name}")
    return Caller(None, None)
