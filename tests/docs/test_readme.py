"""What the README says works: its commands, its requests, its code, its links."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import Stack

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_every_make_target_exists_and_is_listed() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607
    targets = {line.split()[0] for line in listed.splitlines()}
    assert {"run", "test", "demo", "clean", "deploy"} <= targets
    named = re.findall(r"\bmake ([a-z]+)\b(?=`|\s+#|:)", README)
    assert {"run", "test", "deploy"} <= set(named)
    assert set(named) <= targets


def test_every_link_and_file_name_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("https://")]
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert [path for path in re.findall(r"events/\w+/[\w-]+\.json", README) if not (ROOT / path).exists()] == []


def test_the_code_runs_from_top_to_bottom() -> None:
    code = blocks("python")
    assert len(code) == 5
    exec("\n".join(code), {"__name__": "readme"})  # noqa: S102 - our own README


@pytest.fixture
def elsewhere(deployed: Stack, tmp_path: Path) -> Path:
    """A folder where the local stack seems to run."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "api-url").write_text(deployed.api_url + "\n")
    return tmp_path


@pytest.mark.stack
def test_the_requests_work_as_they_stand(elsewhere: Path) -> None:
    (script,) = (block for block in blocks("sh") if "curl" in block)
    # Queries come moments after their commands here: the read model gets its time.
    paced = script.replace('curl "$API/users?prefix=a"', 'sleep 3; curl "$API/users?prefix=a"')
    done = subprocess.run(["bash", "-eu", "-c", paced], cwd=elsewhere, check=True, capture_output=True, text=True)  # noqa: S603, S607
    assert "HTTP/1.1 201" in done.stdout
    assert '"version":2}' in done.stdout
    assert '"name":"Ada","email":"ada@example.com"' in done.stdout
    assert '"type":"UserUpdated"' in done.stdout
    assert '"status":"active","name":"Ada","email":null' in done.stdout
    assert "HTTP/1.1 204" in done.stdout


@pytest.mark.stack
def test_the_operator_s_commands_work_as_they_stand(elsewhere: Path) -> None:
    commands = re.findall(r"^\.venv/bin/eventfold (.*)$", README, flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        program = [sys.executable, "-m", "cli.main", *command.split()]
        subprocess.run(program, cwd=elsewhere, check=True)  # noqa: S603
