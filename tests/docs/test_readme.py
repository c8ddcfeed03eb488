"""What the README and the docs say works: commands, requests, code, links."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml  # type: ignore[import-untyped] # ships no types

from tests.support import ROOT, template

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import Stack

README = (ROOT / "README.md").read_text()
DOCS = {
    page: page.read_text() for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
EVERYTHING = "\n".join(DOCS.values())


def blocks(page: str, language: str) -> list[str]:
    """Return a page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def test_every_make_target_exists_and_is_listed() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607
    targets = {line.split()[0] for line in listed.splitlines()}
    assert {"run", "test", "demo", "clean", "deploy"} <= targets
    named = re.findall(r"\bmake ([a-z-]+)\b(?=`|\s+#|:| [A-Z]+=)", EVERYTHING)
    assert {"run", "test", "deploy"} <= set(named)
    assert set(named) <= targets


def test_every_link_and_file_name_leads_somewhere() -> None:
    links = [(page, link) for page, text in DOCS.items() for link in re.findall(r"\]\(([^)#]+)\)", text)]
    inside = [(page, link) for page, link in links if not link.startswith("https://")]
    assert len(inside) > 40
    assert [(str(page), link) for page, link in inside if not (page.parent / link).exists()] == []
    assert [path for path in re.findall(r"events/\w+/[\w-]+\.json", EVERYTHING) if not (ROOT / path).exists()] == []


def test_a_link_to_a_file_is_named_as_the_file_is() -> None:
    named = re.findall(r"\[(\w+\.py)\]\([^)]*?([^/)]+)\)", EVERYTHING)
    assert len(named) > 20
    assert [(name, file) for name, file in named if name != file] == []


def test_the_deployment_from_actions_is_a_workflow_of_commands_that_there_are() -> None:
    (workflow,) = map(yaml.safe_load, blocks("docs/operations.md", "yaml"))
    steps = workflow["jobs"]["deploy"]["steps"]
    assert [step["run"].split()[:2] for step in steps if "run" in step] == [["sam", "build"], ["sam", "deploy"]]
    assert workflow["permissions"]["id-token"] == "write", "what a role is assumed with"
    for step in steps:
        if "run" in step:
            sam, verb, *flags = step["run"].split()
            program = [ROOT / ".tools/sam/bin" / sam, verb, "--help"]
            said = subprocess.run(program, capture_output=True, text=True, check=True)  # noqa: S603
            assert [flag for flag in flags if flag.removeprefix("--no-") not in said.stdout] == []


def test_the_parameters_that_the_docs_name_are_the_template_s() -> None:
    named = set(re.findall(r"`?\b([A-Z][A-Za-z]+)=(?!.*curl)", OPERATIONS)) - {"StreamEnabled", "StreamViewType"}
    assert {"BasePath", "CorsOrigins", "EventsStreamArn", "SnapStart"} <= named
    assert named - set(template()["Parameters"]) <= {"PointInTimeRecoveryEnabled"}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_code_runs_from_top_to_bottom() -> None:
    found = [block for page in ("README.md", "docs/aggregates.md") for block in blocks(page, "python")]
    code = [block for block in found if not block.startswith("# layers/")]  # test_aggregates.py runs those
    assert len(code) == 6
    assert found == [block for page in DOCS for block in blocks(str(page.relative_to(ROOT)), "python")], "no other code"
    exec("\n".join(code), {"__name__": "readme"})  # noqa: S102 - our own README


@pytest.fixture
def elsewhere(deployed: Stack, tmp_path: Path) -> Path:
    """A folder where the local stack seems to run."""
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "api-url").write_text(deployed.api_url + "\n")
    shutil.copy(ROOT / "template.yaml", tmp_path)
    return tmp_path


@pytest.mark.stack
def test_the_requests_work_as_they_stand(elsewhere: Path) -> None:
    (script,) = (block for block in blocks("README.md", "sh") if "curl" in block)
    # Queries come moments after their commands here: the read model gets its time.
    paced = script.replace('curl "$API/users?prefix=a"', 'sleep 3; curl "$API/users?prefix=a"')
    done = subprocess.run(["bash", "-eu", "-c", paced], cwd=elsewhere, check=True, capture_output=True, text=True)  # noqa: S603, S607
    assert "HTTP/1.1 201" in done.stdout
    assert '"version":2}' in done.stdout
    assert '"name":"Ada","email":"lovelace@example.com"' in done.stdout
    assert '"type":"UserUpdated"' in done.stdout
    assert '"status":"active","name":"Ada","email":null' in done.stdout
    assert "HTTP/1.1 204" in done.stdout


@pytest.mark.stack
def test_the_operator_s_commands_work_as_they_stand(elsewhere: Path) -> None:
    told = OPERATIONS + (ROOT / "docs" / "runbook.md").read_text()
    # Those with --stack are of the restore, which tests/e2e/test_restore.py drills.
    commands = dict.fromkeys(re.findall(r"^\.venv/bin/eventfold ((?!.*s3://|--stack).*)$", told, flags=re.MULTILINE))
    assert len(commands) == 10
    for command in commands:
        program = [sys.executable, "-m", "eventfold.cli.main", *command.split()]
        subprocess.run(program, cwd=elsewhere, check=True)  # noqa: S603
