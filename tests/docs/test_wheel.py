"""What `pip install eventfold` gives: the library alone, typed, with its dependencies; and the command for any application."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = """
from eventfold.application import Application
application = Application()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built anew."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_it_holds_the_library_alone_and_its_types(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"eventfold"}
    assert {"eventfold/py.typed", "eventfold/core/decider.py", "eventfold/cli/main.py"} <= set(names)


def test_it_asks_for_what_it_needs(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    about = email.message_from_string(wheel.read(name).decode())
    needed = set(about.get_all("Requires-Dist", []))
    assert {one for one in needed if "extra ==" not in one} == {"botocore", "orjson", "pydantic>=2"}
    assert {one.partition(";")[0] for one in needed if "'cli'" in one} == {"boto3", "cfn-lint", "rich", "typer"}
    assert about["Requires-Python"] == ">=3.13"
    (entry,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "eventfold = eventfold.cli.main:main" in wheel.read(entry).decode()


def test_the_command_works_away_from_this_project_on_an_application_of_anybody(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path / "site")
    (tmp_path / "site" / "mine.py").write_text(APPLICATION)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments: str) -> tuple[int, str]:
        program = [sys.executable, "-m", "eventfold.cli.main", *arguments]
        env = {"PYTHONPATH": str(tmp_path / "site")}
        done = subprocess.run(program, cwd=elsewhere, env=env, check=False, capture_output=True, text=True)  # noqa: S603
        return done.returncode, done.stdout + done.stderr

    assert run("--help")[0] == 0
    code, said = run("--app", "mine:application", "verify")
    assert (code, "The local stack does not run." in said) == (2, True)
    assert "No module named 'yours'" in run("--app", "yours:application", "verify")[1]
