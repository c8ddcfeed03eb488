"""The functions, wired anew for each test."""

from __future__ import annotations

import io
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


@pytest.fixture
def app(moto_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """The four functions on moto's tables."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)  # Metrics are printed.
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(output)
    monkeypatch.setattr(metrics, "namespace", "eventfold")
    forget()
    yield Application(moto_client, EVENTS_TABLE, output)
    forget()
    if before is not None:
        handler.setStream(before)
