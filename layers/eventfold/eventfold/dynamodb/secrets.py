"""Secrets of AWS Secrets Manager."""

from __future__ import annotations

from typing import Any

from botocore.config import Config

from eventfold.dynamodb.client import aws_session, passing_errors_named


def secret(name: str, endpoint_url: str | None = None) -> bytes:
    """Return a secret's text, by its name or ARN. One request.

    Raises:
        StoreUnavailableError: throttled or out of reach.
    """
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    client: Any = aws_session().create_client("secretsmanager", endpoint_url=endpoint_url, config=config)
    with passing_errors_named():
        text: str = client.get_secret_value(SecretId=name)["SecretString"]
    return text.encode()
