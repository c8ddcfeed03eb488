"""Every payload for `sam local invoke`, of whatever aggregate, run against its handler: none is a fault of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.payloads import BATCHES, REDRIVES, REQUESTS, payload

if TYPE_CHECKING:
    from tests.functions.application import Application


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered(app: Application, name: str) -> None:
    answer = app.call(name.partition("/")[0], payload(name))
    assert answer["statusCode"] < 500
    assert app.lines("unhandled error") == []


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_worked_on(app: Application, name: str) -> None:
    assert app.call(name.partition("/")[0], payload(name)).keys() == {"batchItemFailures"}


@pytest.mark.parametrize("name", REDRIVES)
def test_a_redrive_answers(app: Application, name: str) -> None:
    assert app.call("redrive", payload(name)).keys() == {"redriven", "parked"}
