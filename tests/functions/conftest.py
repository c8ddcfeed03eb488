"""The functions, wired anew for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import EVENTS_TABLE
from tests.functions.application import Application, capture, forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def app(
    moto_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Application]:
    """The five functions on moto's tables."""
    capture(monkeypatch)
    forget()
    yield Application(moto_client, EVENTS_TABLE, capsys)
    forget()
