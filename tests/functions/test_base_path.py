"""A custom domain with an API mapping: its base path comes with each request, and goes before each path that is answered.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-mappings.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.application import forget

if TYPE_CHECKING:
    from tests.functions.application import Application


pytestmark = pytest.mark.aws


def test_a_base_path_is_taken_off_and_put_before(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_PATH", "/v1")
    forget()
    created = app.request("POST", "/v1/users", {"name": "Ada"})
    assert (created.status, created.headers["Location"]) == (201, f"/v1/users/{created.body['id']}")
    assert app.request("PATCH", created.headers["Location"], {"name": "Bea"}).status == 200
    assert app.request("GET", f"{created.headers['Location']}/events").status == 200


@pytest.mark.parametrize("path", ["/v1users", "/v2/users", "/v1/v1/users", "/v1"])
def test_another_path_is_found_nowhere(app: Application, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("BASE_PATH", "/v1")
    forget()
    assert app.request("POST", path, {"name": "Ada"}).status == 404


def test_without_a_mapping_paths_stay_as_they_are(app: Application) -> None:
    created = app.request("POST", "/users", {"name": "Ada"})
    assert created.headers["Location"] == f"/users/{created.body['id']}"
    assert app.request("POST", "/v1/users", {"name": "Ada"}).status == 404
