"""The deployed stack: the real template on the emulator, shared by all tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from local import stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stack keeps its data."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def deployed(home: Path) -> Iterator[stack.Stack]:
    """The stack, fresh."""
    with stack.running(home) as running:
        yield running


@pytest.fixture
def api(deployed: stack.Stack) -> Iterator[httpx.Client]:
    """An HTTP client of its API."""
    with httpx.Client(base_url=deployed.api_url, timeout=60) as client:
        yield client
