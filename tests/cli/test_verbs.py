"""Every verb there is: its help has an example, it is documented, and it takes --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer.main

from eventfold.cli.main import program
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ended


def verbs() -> list[tuple[str, ...]]:
    """Return every verb, with its group."""
    found: list[tuple[str, ...]] = []
    for name, command in typer.main.get_command(program).commands.items():  # type: ignore[attr-defined] # it is a group
        inner = getattr(command, "commands", None)
        found += [(name, verb) for verb in inner] if inner else [(name,)]
    return found


VERBS = verbs()


def test_the_verbs_are_those_that_operators_know() -> None:
    assert {" ".join(verb) for verb in VERBS} >= {
        *(f"stream {verb}" for verb in ("list", "show", "state", "diff")),
        "events tail",
        *(f"snapshot {verb}" for verb in ("take", "list")),
        *(f"parked {verb}" for verb in ("list", "redrive")),
        *("verify", "export", "import", "doctor"),
    }


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_each_verb_has_an_example(run: Callable[..., Ended], verb: tuple[str, ...]) -> None:
    ended = run(*verb, "--help")
    assert (ended.code, ended.err) == (0, "")
    (example,) = [line.strip() for line in ended.out.splitlines() if line.strip().startswith("Example: ")]
    assert example.startswith("Example: eventfold ")
    assert " ".join(verb) in example
    assert "--json" in ended.out


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_each_verb_is_documented(verb: tuple[str, ...]) -> None:
    group, *rest = verb
    lines = (ROOT / "docs" / "operations.md").read_text().replace("`", "").splitlines()
    names = [line for line in lines if line.startswith(f"| {group} ")]
    assert any(set(rest) <= set(line.split("|")[1].replace(",", " ").split()) for line in names), verb


@pytest.mark.parametrize(
    "arguments",
    [
        ("stream", "state", "user-1", "--version", "1", "--at", "2026-01-01"),
        ("stream", "state", "user-1", "--at", "yesterday"),
        ("snapshot", "take"),
        ("snapshot", "take", "user-1", "--all"),
        ("verify", "--segments", "0"),
    ],
)
def test_options_that_make_no_sense_are_exit_code_2(run: Callable[..., Ended], arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
