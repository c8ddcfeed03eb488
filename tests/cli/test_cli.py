"""The operator's command line: what it says, what it does, and how it ends."""

from __future__ import annotations

import json
from copy import replace
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from app import main
from app.users.rules import UserCreated
from eventfold import application as made
from eventfold.cli import parked as parked_verbs
from eventfold.cli import target
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb import create_client
from tests.cli.conftest import AWS, OUTPUTS, STOPPED, Ended
from tests.conftest import FAILURES_BUCKET
from tests.support import stream_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eventfold import Commit
    from eventfold.core.stored import StoredEvent
    from tests.cli.conftest import Stacks
    from tests.functions.application import Application

UNKNOWN: tuple[StoredEvent, ...] = ({"type": "UserRenamed", "v": 7, "data": {"name": "Ada"}},)


def park(app: Application, *ids: str) -> dict[str, Commit]:
    """Park users by an event that nobody knows; return what would repair them."""
    repairs = {}
    for id_ in ids:
        (repairs[id_],) = app.append(id_, UserCreated(name=id_))
        bad = replace(repairs[id_], events=UNKNOWN)
        app.overwrite(bad)
        app.project([bad])
    return repairs


# --- list -------------------------------------------------------------------------------------------------


def test_list_says_that_nothing_is_parked(app: Application, run: Callable[..., Ended]) -> None:
    assert run(*AWS, "parked", "list") == Ended(0, "Nothing is parked.\n", "")
    assert run(*AWS, "parked", "list", "--json") == Ended(0, "[]\n", "")


def test_list_shows_what_is_parked_and_why_and_ends_with_1(app: Application, run: Callable[..., Ended]) -> None:
    park(app, "1", "0b0f6a3e-5d5c-4b53-9d34-6f1f0a4d2c11")
    ended = run(*AWS, "parked", "list")
    assert (ended.code, ended.err) == (1, "")
    # Two lines for each, neither cut nor wrapped: an operator copies from them into the next command.
    lines = ended.out.splitlines()
    assert len(lines) == 2 * 4
    said = {
        f"{one.projection} {one.stream} at version 0, since {one.since:%Y-%m-%d %H:%M:%S}+00:00, attempts: 1": one.reason
        for one in app.parked()
    }
    assert {head: reason.strip() for head, reason in zip(lines[::2], lines[1::2], strict=True)} == said
    assert all("no event 'UserRenamed' version 7 is registered" in reason for reason in said.values())
    assert "Ada" not in ended.out


def test_list_as_json_is_for_programs(app: Application, run: Callable[..., Ended]) -> None:
    park(app, "1")
    ended = run(*AWS, "parked", "list", "--json")
    found: list[dict[str, Any]] = json.loads(ended.out)
    assert ended.code == 1
    assert sorted(one["projection"] for one in found) == ["directory", "stats"]
    for one in found:
        assert one.keys() == {"projection", "stream", "version", "reason", "since", "attempts"}
        assert (one["stream"], one["version"], one["attempts"]) == ("user-1", 0, 1)
        assert datetime.fromisoformat(one["since"]) in {parked.since for parked in app.parked()}
        assert "T" in one["since"]


def test_list_shows_one_projection(app: Application, run: Callable[..., Ended]) -> None:
    park(app, "1")
    (stats,) = main.application.parked_store.listed("stats")
    main.application.parked_store.release(stats)
    main.application.parked_store.park("retired", "user-1", 0, "a projection that the code no longer has")
    assert run(*AWS, "parked", "list", "--projection", "stats").code == 0
    for name in ("directory", "retired"):
        (one,) = json.loads(run(*AWS, "parked", "list", "--projection", name, "--json").out)
        assert one["projection"] == name


def test_a_reason_with_square_brackets_is_shown_as_it_is(app: Application, run: Callable[..., Ended]) -> None:
    main.application.parked_store.park("stats", "user-1", 0, "Error: no event 'a[bold]b[/x]c:x:'")
    ended = run(*AWS, "parked", "list")
    assert ended.code == 1
    assert "a[bold]b[/x]c:x:" in ended.out


# --- redrive ----------------------------------------------------------------------------------------------


def test_redrive_replays_what_was_repaired_and_ends_with_0(app: Application, run: Callable[..., Ended]) -> None:
    for repair in park(app, "1", "2").values():
        app.overwrite(repair)
    assert run(*AWS, "parked", "redrive") == Ended(0, "4 redriven, 0 still parked.\n", "")
    assert app.parked() == []
    assert app.stats()["created"] == 2


def test_redrive_ends_with_1_while_something_stays_parked(app: Application, run: Callable[..., Ended]) -> None:
    app.overwrite(park(app, "1", "2")["1"])
    assert run(*AWS, "parked", "redrive") == Ended(1, "2 redriven, 2 still parked.\n", "")
    ended = run(*AWS, "parked", "redrive", "--json")
    assert (ended.code, json.loads(ended.out)) == (
        1,
        {"redriven": 0, "parked": 2, "batches": 0, "given_up": 0},
    )


def test_redrive_takes_a_projection_and_a_stream(app: Application, run: Callable[..., Ended]) -> None:
    for repair in park(app, "1", "2").values():
        app.overwrite(repair)
    flags = (*AWS, "parked", "redrive", "--json", "--stream", "user-1")
    one = {"redriven": 1, "parked": 0, "batches": 0, "given_up": 0}
    assert json.loads(run(*flags, "--projection", "stats").out) == one
    assert json.loads(run(*flags).out) == one
    assert {one.stream for one in app.parked()} == {"user-2"}


@pytest.mark.parametrize("verb", ["list", "redrive"])
def test_a_projection_that_there_is_not_is_no_success(app: Application, run: Callable[..., Ended], verb: str) -> None:
    message = "✗ There is no projection 'stat'; there are: balances, directory, stats.\n"
    assert run(*AWS, "parked", verb, "--projection", "stat") == Ended(2, "", message)


# --- What goes wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["list", "redrive"])
def test_without_flags_and_without_a_local_stack_it_says_how_to_start_one(
    app: Application, run: Callable[..., Ended], verb: str
) -> None:
    message = "✗ The local stack does not run. Start it with `make run`, or name one on AWS with --stack.\n"
    assert run("parked", verb) == Ended(2, "", message)


def test_a_local_stack_that_was_stopped_is_a_message(
    app: Application, run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/api-url").write_text(f"{STOPPED}/_aws/execute-api/abc\n")
    ended = run("parked", "list")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("✗ The stack 'eventfold-local' can't be asked for its tables: ")


def test_the_local_stack_is_found_by_the_address_that_it_leaves(
    app: Application, run: Callable[..., Ended], stacks: Stacks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks["us-east-1", "eventfold-local"] = OUTPUTS
    endpoint = "http://localhost:4566"
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/api-url").write_text(f"{endpoint}/_aws/execute-api/abc\n")
    connected: list[made.Application] = []

    def connect(flags: target.Flags) -> SimpleNamespace:
        connected.append(target.connect(flags))
        return SimpleNamespace(feed=SimpleNamespace(waiting=lambda _: [], check=lambda _: None), given_up=None)

    monkeypatch.setattr(parked_verbs, "connect", connect)
    monkeypatch.chdir(folder(tmp_path / "deep/down"))
    assert run("parked", "list").code == 0
    assert connected[0].settings.aws_endpoint_url == endpoint
    assert connected[0].settings.parked_table == "parked"


def test_the_search_for_the_address_ends_at_the_project_s_folder(
    app: Application, run: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / ".local").joinpath("api-url").write_text("http://localhost:4566/_aws/execute-api/abc\n")
    project = folder(tmp_path / "project/deep")
    (tmp_path / "project/pyproject.toml").touch()
    monkeypatch.chdir(project)
    assert "The local stack does not run." in run("parked", "list").err


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("flags", [("--stack", "other"), ("--stack", "other", "--region", "us-east-1")])
def test_a_stack_that_there_is_not_is_a_message(
    app: Application, run: Callable[..., Ended], flags: tuple[str, ...]
) -> None:
    ended = run(*flags, "parked", "list")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("✗ The stack 'other' can't be asked for its tables: ")
    assert "does not exist" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_stack_of_something_else_is_a_message(app: Application, run: Callable[..., Ended], stacks: Stacks) -> None:
    stacks["eu-west-1", "website"] = {"Url": "https://example.com"}
    message = "✗ The stack 'website' has no output 'EventsTableName'. Is it an eventfold stack?\n"
    assert run("--stack", "website", "parked", "list") == Ended(2, "", message)


def test_a_region_alone_is_a_stack_on_aws_and_not_the_local_one(app: Application, run: Callable[..., Ended]) -> None:
    assert run("--region", "eu-west-1", "parked", "list") == Ended(0, "Nothing is parked.\n", "")
    assert "'eventfold' can't be asked" in run("--region", "eu-north-1", "parked", "list").err


def test_a_profile_that_there_is_not_is_a_message(app: Application, run: Callable[..., Ended]) -> None:
    message = "✗ The config profile (nope) could not be found\n"
    assert run("--profile", "nope", "parked", "list") == Ended(2, "", message)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("ThrottlingException"),
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not [/allowed]"}}, "Query"),
    ],
)
def test_tables_that_can_not_be_read_are_a_message(
    app: Application, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    client = create_client()
    monkeypatch.setattr(client, "get_paginator", lambda _: Refused(error))
    monkeypatch.setattr(made.Application, "dynamodb", client)
    monkeypatch.setattr(made.Application, "given_up", None)
    for verb in ("list", "redrive"):
        ended = run(*AWS, "parked", verb)
        assert (ended.code, ended.out, ended.err) == (2, "", f"✗ {error}\n")


@dataclass(frozen=True)
class Refused:
    """A paginator whose first page is an error."""

    error: Exception

    def paginate(self, **_: object) -> Iterator[Any]:
        yield from self._first_page()

    def _first_page(self) -> list[Any]:
        raise self.error


# --- Help -------------------------------------------------------------------------------------------------


def test_the_help_needs_no_stack_and_no_credentials(
    run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    for arguments in (("--help",), ("parked", "--help")):
        ended = run(*arguments)
        assert (ended.code, ended.err) == (0, "")
        assert "parked" in ended.out


@pytest.mark.parametrize("arguments", [("parked", "lsit"), ("parked", "list", "--jsno"), ("--stak", "x", "parked")])
def test_a_slip_of_the_pen_is_exit_code_2(run: Callable[..., Ended], arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "No such" in ended.err


def test_a_stack_s_own_numbers_of_shards_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_asked", lambda *_: (dict(OUTPUTS), {"TallyShards": "80", "ListShards": "16"}))
    used = target.connect(target.Flags("app.main:application", "eventfold", None, None)).settings
    assert (used.tally_shards, used.list_shards) == (80, 16)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere.main:application", "No module named 'nowhere'"),
        ("app.main:nothing", "has no attribute 'nothing'"),
        ("app.main:Application.on", "has no attribute"),
        ("app.users:DECIDERS", "is no eventfold Application"),
    ],
)
def test_an_application_that_there_is_not_is_a_message(
    app: Application, run: Callable[..., Ended], name: str, why: str
) -> None:
    ended = run("--app", name, *AWS, "parked", "list")
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err


def test_the_project_says_which_application(
    app: Application, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("EVENTFOLD_APP")
    assert run(*AWS, "parked", "list").err.startswith("✗ Which application? Name it with --app")
    (tmp_path / "pyproject.toml").write_text('[tool.eventfold]\napp = "app.main:application"\n')
    monkeypatch.chdir(folder(tmp_path / "deep"))
    assert run(*AWS, "parked", "list").code == 0


# --- given up by Lambda -----------------------------------------------------------------------------------


def test_what_lambda_gave_up_on_is_listed_and_redriven(app: Application, run: Callable[..., Ended]) -> None:
    (created,) = app.append("1", UserCreated(name="Ada"))
    s3 = boto3.client("s3")
    good, odd = "aws/lambda/1/shard/2026/01/01/a", "aws/lambda/1/shard/2026/01/01/b"
    s3.put_object(Bucket=FAILURES_BUCKET, Key=good, Body=json.dumps({"payload": json.dumps(stream_event([created]))}))
    s3.put_object(Bucket=FAILURES_BUCKET, Key=odd, Body="{}")
    said = "".join(f"given up by Lambda, not yet redriven: {key}\n" for key in (good, odd))
    assert run(*AWS, "parked", "list") == Ended(1, said, "")
    assert json.loads(run(*AWS, "parked", "list", "--json").out) == [{"batch": good}, {"batch": odd}]
    ended = run(*AWS, "parked", "redrive")
    assert (ended.code, ended.err) == (1, f"{odd}: it is no batch of stream records\n")
    assert ended.out.splitlines()[-1] == "1 batches that Lambda gave up on are redriven, 1 stay."
    assert app.request("GET", "/users/1").status == 200
    s3.delete_object(Bucket=FAILURES_BUCKET, Key=odd)
    assert run(*AWS, "parked", "redrive").out == "0 redriven, 0 still parked.\n"
