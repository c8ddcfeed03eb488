"""`eventfold projection`: what each verb says, and its exit code. A rebuild itself runs on the deployed stack."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from app import main
from eventfold.cli.main import program
from eventfold.read_models.projections import Row

if TYPE_CHECKING:
    from tests.functions.application import Application

AT = datetime(2026, 1, 1, tzinfo=UTC)
AWS = ("--stack", "eventfold", "--region", "eu-west-1", "projection")
VERBS = ("list", "status", "rebuild", "promote", "rollback", "drop")


def ready() -> None:
    """Give the directory a second generation that is ready to be promoted."""
    store = main.application.control_store
    begun = store.write(store.read(["directory"])["directory"].begun("table", 2, AT))
    store.write(begun.moved(2, "ready", AT))


def run(*arguments: str, code: int = 0) -> str:
    """Run the command line; return what it printed."""
    done = CliRunner().invoke(program, [*AWS, *arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example(verb: str) -> None:
    assert f"Example: eventfold projection {verb}" in CliRunner().invoke(program, ["projection", verb, "--help"]).output


def test_a_generation_is_listed_promoted_and_gone_back_from(app: Application) -> None:
    assert run("list") == "directory: 1 active\nstats: 1 active\nbalances: 1 active\n"
    ready()
    assert run("list").splitlines()[0] == "directory: 1 active, 2 ready"
    assert run("promote", "directory") == "directory shows generation 2.\n"
    assert json.loads(run("rollback", "directory", "--now", "--json"))["active"] == 1
    shown = json.loads(run("status", "directory", "--json"))
    assert [one["status"] for one in shown["generations"]] == ["active", "retired"]


def test_status_says_what_is_parked_with_exit_code_1(app: Application) -> None:
    ready()
    main.application.parked_store.park("directory.2", "user-1", 0, "x")
    assert "1 streams are parked" in run("status", "directory", code=1)


def test_a_dropped_generation_s_rows_are_deleted_and_no_others(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventfold.cli.projections.pause", lambda *_: None)
    ready()
    for stored in ("directory", "directory.2", "directory.22"):
        for n in range(60):
            main.application.row_store.put(stored, Row(f"user-{n}", 1, "{}", f"{n}"), replaces=0)
    assert json.loads(run("drop", "directory", "2", "--json"))["deleted"] == 60
    streams = [f"user-{n}" for n in range(60)]
    assert [
        len(main.application.row_store.get(name, streams)) for name in ("directory", "directory.2", "directory.22")
    ] == [
        60,
        0,
        60,
    ]
    assert run("list").splitlines()[0] == "directory: 1 active"


def test_what_is_refused_is_an_error_that_says_why(app: Application) -> None:
    done = CliRunner().invoke(program, [*AWS, "promote", "directory"])
    assert str(done.exception) == "directory has no generation ready to be promoted."
