"""The functions, wired anew for each test."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from app.telemetry import logger, metrics
from tests.conftest import EVENTS_TABLE
from tests.functions.application import Application, forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient


class Stdout:
    """Whatever pytest has put in the place of stdout when a line is written."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture
def app(
    moto_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Application]:
    """The five functions on moto's tables."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", Stdout())
    monkeypatch.setattr(metrics, "namespace", "eventfold")
    forget()
    yield Application(moto_client, EVENTS_TABLE, capsys)
    forget()
