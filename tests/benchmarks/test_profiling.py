"""Whose a function is: told by the module it is in, wherever the checkout lies."""

from __future__ import annotations

import sys

import pytest

from benchmarks.profiling import _part


@pytest.mark.parametrize("root", ["/home/ada/eventfold", "/home/ada/botocore/pydantic", "/srv/benchmarks/peers/x"])
def test_the_folder_of_the_checkout_says_nothing(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    packages = f"{root}/.venv/lib/python3.13/site-packages"
    monkeypatch.setattr(sys, "path", ["", "/usr/lib/python3.13", packages, root, f"{root}/layers/eventfold/"])

    def part(file: str, name: str = "run") -> str | None:
        return _part((file, 1, name))

    assert part(f"{root}/layers/eventfold/eventfold/core/events.py") == "eventfold"
    assert part(f"{root}/benchmarks/peers/ours.py") == "evolve, decide"
    assert part(f"{root}/benchmarks/worker.py") is None
    assert part(f"{packages}/botocore/client.py") == "botocore"
    assert part(f"{packages}/pydantic/main.py") == "JSON and models"
    assert part("/usr/lib/python3.13/http/client.py") == "HTTP"
    assert part("/usr/lib/python3.13/threading.py") is None
    assert part("<frozen importlib._bootstrap>") is None
    assert part("~", "<method 'recv_into' of '_socket.socket' objects>") == "HTTP"
