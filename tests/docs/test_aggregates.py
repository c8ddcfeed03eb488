"""A new aggregate, as the README and docs/aggregates.md write it: what it touches, and that it works. And none at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT, http_event

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "layers/app/app/wallets"
TEST = """
import pytest
from tests.functions.application import Application


@pytest.fixture
def id_(app: Application) -> str:
    key = {"Idempotency-Key": "k"}
    opened, again = (app.request("POST", "/wallets", {"owner": "Ada"}, headers=key) for _ in range(2))
    assert (opened.status, opened.body) == (201, again.body)
    return opened.body["id"]


def test_a_wallet(app: Application, id_: str) -> None:
    deposits, cents = f"/wallets/{id_}/deposits", {"cents": 5}
    deposited = app.request("POST", deposits, cents, headers={"If-Match": \'"1"\'})
    assert (deposited.status, deposited.body["version"], deposited.headers["ETag"]) == (200, 2, \'"2"\')
    assert app.request("POST", deposits, cents, headers={"If-Match": \'"1"\'}).status == 412
    assert app.request("POST", "/wallets/nobody/deposits", cents).body["detail"] == "There is no such wallet."
    wallet = {"id": id_, "owner": "Ada", "cents": 5, "version": 2}
    assert app.request("GET", f"/wallets/{id_}", query={"min_version": "2"}).body == wallet
    assert app.request("GET", "/wallets").body == {"wallets": [], "cursor": None}
    app.project()
    assert app.request("GET", "/wallets", query={"prefix": "a"}).body == {"wallets": [wallet], "cursor": None}
    types = [event["type"] for event in app.request("GET", f"/wallets/{id_}/events").body["events"]]
    assert types == ["WalletOpened", "Deposited"]
    past = app.request("GET", f"/wallets/{id_}/state", query={"version": "1"}).body
    assert (past["version"], past["cents"]) == (1, 0)
    assert app.request("GET", "/users").status == 200
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what git has of this project, and will have."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
    for file in (file for file in files if (ROOT / file).is_file()):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def run(copy: Path, *module: str) -> str:
    """Run a module on the copy's code; return what it prints."""
    path = os.pathsep.join(str(copy / root) for root in ("layers/app", "layers/eventfold", "."))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *module],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(copy: Path, file: str, text: str) -> None:
    (copy / file).parent.mkdir(parents=True, exist_ok=True)
    (copy / file).write_text(text)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def test_an_aggregate_by_the_docs_alone_touches_two_files_that_were_there(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    write(copy, f"{PACKAGE}/rules.py", blocks("README.md", "python")[0])
    for block in blocks("docs/aggregates.md", "python"):
        if named := re.match(r"# (layers/\S+)\n", block):
            write(copy, named[1], block[named.end() :])
    (examples,) = blocks("docs/aggregates.md", "json")
    write(copy, "tests/golden/wallet/examples.json", examples)
    opened = http_event("POST", "/wallets", {"owner": "Ada"})
    write(copy, "events/commands/open-wallet.json", json.dumps(opened, indent=2))
    write(copy, "tests/functions/test_wallets.py", TEST)
    assert run(copy, "local.golden").count("tests/golden/wallet/") == 3
    run(copy, "local.openapi")
    tests = (
        "unit/test_golden.py",
        "functions/test_wallets.py",
        "functions/test_every_payload.py",
        "fuzz/test_openapi.py",
    )
    run(
        copy,
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(f"tests/{one}" for one in tests),
        "-k",
        "not users and not stats and not promised",
    )
    run(copy, "importlinter.cli", "lint-imports", "--no-cache")
    after = {path for path in before if path.read_bytes() != before[path]}
    assert {str(path.relative_to(copy)) for path in after} == {"layers/app/app/main.py", "docs/openapi.json"}


def test_without_the_examples_what_is_left_starts_answers_and_passes_its_tests(copy: Path) -> None:
    for example, golden in (("users", "user"), ("accounts", "account"), ("accounts", "owner")):
        shutil.rmtree(copy / "layers/app/app" / example, ignore_errors=True)
        shutil.rmtree(copy / "tests/golden" / golden)
    (copy / "events/redrive/projection.json").unlink()  # it names the users' directory
    main = copy / "layers/app/app/main.py"
    main.write_text(main.read_text().replace('"app.users", "app.accounts"', ""))
    run(copy, "local.openapi")
    assert json.loads((copy / "docs/openapi.json").read_text())["paths"] == {}
    found = {file: file.read_text().lower() for file in (copy / "tests").rglob("test_*.py")}
    tests = [
        file
        for file, text in found.items()
        if not {"users", "accounts"} & set(re.findall(r"\w+", text)) and ".tools" not in text
    ]
    quick = [file for file in tests if file.parent.name in {"functions", "template"}]
    assert len(quick) > 5
    said = run(copy, "pytest", "-q", "-p", "no:cacheprovider", *map(str, quick))
    assert int(re.findall(r"(\d+) passed", said)[0]) > 100
