"""Streams, snapshots and whole tables from the command line, on moto."""

from __future__ import annotations

import gzip
import json
from copy import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from app import main
from app.users.rules import USERS, User, UserCreated, UserDeleted, UserUpdated
from eventfold import Snapshot, load
from eventfold.dynamodb.items import commit_to_item
from eventfold.operations.claims import ClaimBuild
from eventfold.operations.verify.segment import SegmentVerification
from tests.cli.conftest import AWS, Ended
from tests.conftest import EVENTS_TABLE, READ_MODELS_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventfold.core.stored import StoredEvent
    from tests.functions.application import Application

VERIFY = (*AWS, "verify", "--workers", "1", "--segments", "2")
UNKNOWN: StoredEvent = {"type": "UserRenamed", "v": 7, "data": {"name": "Ada"}}


@pytest.fixture
def ada(app: Application) -> Application:
    """One user with a history, projected; another that is gone."""
    app.append("1", UserCreated(name="Ada"), UserUpdated(name="Grace"), meta={"actor": "root"})
    app.append("1", UserUpdated(email="g@example.com"))
    app.append("2", UserCreated(name="Bob"), UserDeleted())
    app.project()
    books = main.application.claim_books
    ClaimBuild(books, lambda _: None).run(main.application.scannable_store.scan(0, 1))
    return app


def answer(ended: Ended, code: int = 0) -> Any:
    assert (ended.code, ended.err) == (code, "")
    return json.loads(ended.out)


# --- stream -----------------------------------------------------------------------------------------------


def test_stream_list(ada: Application, run: Callable[..., Ended]) -> None:
    found = answer(run(*AWS, "stream", "list", "--json"))
    assert {one["stream"]: one["version"] for one in found} == {"user-1": 3, "user-2": 2}
    assert len(answer(run(*AWS, "stream", "list", "--json", "--limit", "1"))) == 1
    assert answer(run(*AWS, "stream", "list", "--json", "--category", "account")) == []
    assert "user-1 at version 3, 2026-01-01 00:00:03.000\n" in run(*AWS, "stream", "list").out


def test_stream_show(ada: Application, run: Callable[..., Ended]) -> None:
    found = answer(run(*AWS, "stream", "show", "user-1", "--json"))
    assert [(one["version"], one["type"], one["actor"]) for one in found] == [
        (1, "UserCreated", "root"),
        (2, "UserUpdated", "root"),
        (3, "UserUpdated", None),
    ]
    assert found[0]["data"]["name"] == "Ada"
    assert [one["commit"] for one in found] == [commit.public_id for commit in ada.commits("1")]
    said = run(*AWS, "stream", "show", "user-1", "--after", "1", "--limit", "1").out
    assert said.splitlines()[0].split() == ["2", "2026-01-01", "00:00:02.000", "UserUpdated", "v1", "by", "root"]
    assert run(*AWS, "stream", "show", "user-9").err == "✗ There is no stream 'user-9'.\n"


def test_stream_show_begins_in_the_midst_of_a_commit_and_shows_what_nobody_can_decode(
    app: Application, run: Callable[..., Ended]
) -> None:
    (commit,) = app.append("1", UserCreated(name="Ada"))
    app.overwrite(replace(commit, events=(*commit.events, UNKNOWN, UNKNOWN)))
    found = answer(run(*AWS, "stream", "show", "user-1", "--after", "1", "--json"))
    assert [(one["version"], one["type"], one["v"]) for one in found] == [(2, "UserRenamed", 7), (3, "UserRenamed", 7)]


def test_stream_state(ada: Application, run: Callable[..., Ended]) -> None:
    now = answer(run(*AWS, "stream", "state", "user-1", "--json"))
    assert now["state"] == {"status": "active", "name": "Grace", "email": "g@example.com"}
    assert now["version"] == 3
    assert answer(run(*AWS, "stream", "state", "user-1", "--version", "1", "--json"))["state"]["name"] == "Ada"
    for at in ("2026-01-01T00:00:02", "2026-01-01T01:00:02+01:00"):
        assert answer(run(*AWS, "stream", "state", "user-1", "--at", at, "--json"))["version"] == 2
    assert "  name: 'Grace'\n" in run(*AWS, "stream", "state", "user-1").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("user-9",), "There is no stream 'user-9'."),
        (("user-1", "--at", "2020-01-01"), "There is no stream 'user-1' at that time."),
        (("user-1", "--version", "4"), "Stream 'user-1' ends at version 3."),
        (("order-1",), "There is no aggregate 'order'; there are: account, owner, user."),
        (("user",), "a stream is named category-id, both not empty, not 'user'"),
    ],
)
def test_a_state_that_there_is_not(
    ada: Application, run: Callable[..., Ended], arguments: tuple[str, ...], message: str
) -> None:
    ended = run(*AWS, "stream", "state", *arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", f"✗ {message}\n")


def test_stream_diff(ada: Application, run: Callable[..., Ended]) -> None:
    changed = {"name": {"before": "Ada", "after": "Grace"}, "email": {"before": None, "after": "g@example.com"}}
    assert answer(run(*AWS, "stream", "diff", "user-1", "1", "3", "--json"), code=1) == changed
    assert run(*AWS, "stream", "diff", "user-1", "1", "2").out == "name: 'Ada' -> 'Grace'\n"
    ended = run(*AWS, "stream", "diff", "user-1", "2", "2")
    assert (ended.code, ended.out) == (0, "No difference.\n")
    assert "status: 'unknown' -> 'active'" in run(*AWS, "stream", "diff", "user-1", "0", "1").out
    assert run(*AWS, "stream", "diff", "user-1", "1", "9").err == "✗ Stream 'user-1' ends at version 3.\n"


# --- snapshot ---------------------------------------------------------------------------------------------


def test_snapshot_take_and_list(ada: Application, run: Callable[..., Ended]) -> None:
    assert run(*AWS, "snapshot", "list", "user-1").out == "It has none.\n"
    assert run(*AWS, "snapshot", "take", "user-1").out == "user-1 at version 3: taken\n"
    assert run(*AWS, "snapshot", "take", "user-1").out == "user-1 has one of its last version, and all are right.\n"
    main.application.event_store.save_snapshot(Snapshot("user-1", 1, "old", "{}", ada.commits("1")[0].at))
    found = answer(run(*AWS, "snapshot", "list", "user-1", "--json"))
    assert [(one["version"], one["used"]) for one in found] == [(1, False), (3, True)]
    assert "of another schema: ignored" in run(*AWS, "snapshot", "list", "user-1").out
    for verb in ("take", "list"):
        assert run(*AWS, "snapshot", verb, "user-9").err == "✗ There is no stream 'user-9'.\n"


def test_snapshots_of_all_that_lack_one(app: Application, run: Callable[..., Ended]) -> None:
    for id_ in ("1", "2", "3"):
        app.append(id_, UserCreated(name="Ada"), *(UserUpdated(name=f"Ada {n}") for n in range(5)))
    app.append("4", UserCreated(name="Bob"))
    at = app.commits("2")[4].at
    main.application.event_store.save_snapshot(Snapshot("user-2", 5, "old", "{}", at))
    app.snapshot([commit for commit in app.commits("3") if commit.snapshot_due])
    taken = answer(run(*AWS, "snapshot", "take", "--all", "--json"))
    assert {one["stream"] for one in taken} == {"user-1", "user-2"}
    assert run(*AWS, "snapshot", "take", "--all").out == "0 taken.\n"


def test_a_stream_that_can_not_be_replayed_keeps_no_other_from_its_snapshot(
    app: Application, run: Callable[..., Ended]
) -> None:
    for id_ in ("1", "2", "3"):
        app.append(id_, *(UserUpdated(name=f"Ada {n}") for n in range(5)))
        app.overwrite(replace(app.commits(id_)[1], events=(UNKNOWN,))) if id_ != "2" else None
    ended = run(*AWS, "snapshot", "take", "--all", "--json")
    assert (ended.code, json.loads(ended.out)) == (1, [{"stream": "user-2", "version": 5}])
    assert sorted(ended.err.splitlines()) == [
        f"✗ events: user-{id_}, version 2: no event 'UserRenamed' version 7 is registered" for id_ in ("1", "3")
    ]
    assert run(*AWS, "snapshot", "take", "user-1").code == 1


def test_wrong_snapshots_are_found_and_replaced_by_a_replay_of_all_events(
    app: Application, run: Callable[..., Ended]
) -> None:
    for id_ in ("1", "2"):
        commits = app.append(id_, UserCreated(name="Ada"), *(UserUpdated(name=f"Ada {n}") for n in range(1, 7)))
        for version in (3, 5):  # As an `evolve` that was wrong has left them.
            wrong = User(status="active", name="Wrong")
            at = commits[version - 1].at
            main.application.event_store.save_snapshot(
                Snapshot(f"user-{id_}", version, USERS.schema, USERS.dump(wrong), at)
            )
    app.project()
    ended = run(*VERIFY)
    assert ended.code == 1
    assert "✗ snapshot: user-1, version 3: its state is not what the replay gives\n" in ended.out
    assert "Snapshots: eventfold snapshot take --all replays the events and replaces what differs." in ended.out
    assert run(*AWS, "snapshot", "take", "user-1").out.splitlines() == [
        f"user-1 at version {version}: taken" for version in (3, 5, 7)
    ]
    said = [json.loads(line) for line in run(*VERIFY, "--json").out.splitlines()]
    assert {one["finding"]["stream"] for one in said[:-1]} == {"user-2"}
    assert said[-1]["repair"] == "eventfold snapshot take user-2"
    taken = answer(run(*AWS, "snapshot", "take", "--all", "--json"))
    assert taken == [{"stream": "user-2", "version": version} for version in (3, 5, 7)]
    assert load(main.application.event_store, USERS, "user-2").state.name == "Ada 6"
    assert run(*VERIFY).code == 0
    assert answer(run(*AWS, "snapshot", "take", "--all", "--json")) == []


def test_a_snapshot_where_no_commit_ends_is_made_void(ada: Application, run: Callable[..., Ended]) -> None:
    state = USERS.dump(User(status="active", name="Grace"))
    main.application.event_store.save_snapshot(Snapshot("user-1", 7, USERS.schema, state, ada.commits("1")[0].at))
    assert run(*VERIFY).code == 1
    assert run(*AWS, "snapshot", "take", "user-1").out.splitlines() == [
        "user-1 at version 7: made void, as no commit ends there",
        "user-1 at version 3: taken",
    ]
    assert run(*VERIFY).code == 0
    assert answer(run(*AWS, "stream", "state", "user-1", "--json"))["version"] == 3


# --- verify -----------------------------------------------------------------------------------------------


def test_verify_says_that_all_is_well(ada: Application, run: Callable[..., Ended]) -> None:
    run(*AWS, "snapshot", "take", "user-1")
    ended = run(*VERIFY)
    assert (ended.code, ended.out) == (0, "✓ All as it should be: 2 streams, 5 events, 1 snapshots.\n")


def test_verify_says_which_stream_and_where(
    ada: Application, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "eventfold.application.verification.SegmentVerification", partial(SegmentVerification, sleep=lambda _: None)
    )
    ada.overwrite(replace(ada.commits("1")[1], events=(UNKNOWN,)))
    ada.client.delete_item(TableName=READ_MODELS_TABLE, Key={"key": {"S": "directory#user-2"}})
    item: Any = {"key": {"S": "directory#user-7"}, "version": {"N": "1"}}
    ada.client.put_item(TableName=READ_MODELS_TABLE, Item=item)
    ended = run(*VERIFY, "--json")
    *found, end = map(json.loads, ended.out.splitlines())
    places = {(one["finding"]["where"], one["finding"]["stream"], one["finding"]["version"]) for one in found}
    assert ended.code == 1
    assert end["findings"] == len(found)
    assert {
        ("events", "user-1", 2),
        ("directory", "user-2", None),
        ("directory", "user-7", None),
        ("stats", "", None),
    } == places
    said = run(*VERIFY).out
    assert "✗ events: user-1, version 2: no event 'UserRenamed' version 7 is registered\n" in said
    assert "Ada" not in said


def test_verify_finds_a_counter_wrong_that_no_stream_moves(ada: Application, run: Callable[..., Ended]) -> None:
    item: Any = {"key": {"S": "stats#total#3"}, "created": {"N": "5"}}
    ada.client.put_item(TableName=READ_MODELS_TABLE, Item=item)
    ended = run(*VERIFY)
    assert (ended.code, ended.out.splitlines()[0]) == (
        1,
        "✗ stats: counter created of total is 7, and by the events 2",
    )
    ada.client.delete_item(TableName=READ_MODELS_TABLE, Key={"key": item["key"]})
    assert run(*VERIFY).code == 0


# --- claims -----------------------------------------------------------------------------------------------


def test_claims_build_claims_what_events_of_before_have_and_tells_of_duplicates(
    app: Application, run: Callable[..., Ended]
) -> None:
    app.append("1", UserCreated(name="Ada", email="ada@example.com"))
    app.append("2", UserCreated(name="Grace", email="grace@example.com"))
    app.project()
    ended = run(*VERIFY)
    assert (ended.code, ended.out.splitlines()[0]) == (
        1,
        "✗ claims: user-1: nobody has claimed a key that it has: email",
    )
    assert "eventfold claims build" in ended.out
    done = "✓ 2 streams, 2 keys: 2 claimed now, 0 released. In force: user.email, account.number.\n"
    assert run(*AWS, "claims", "build") == Ended(0, done, "")
    assert run(*VERIFY).code == 0
    app.append("3", UserCreated(name="Ada too", email="ADA@example.com"))
    ended = run(*AWS, "claims", "build")
    told, end = ended.out.splitlines()
    assert (ended.code, told) == (1, "✗ user-3: another stream, user-1, has claimed a key that it has: email")
    assert end.startswith("3 streams, 2 keys: 0 claimed now, 0 released. 1 keys are had by two")
    found, end = map(json.loads, run(*AWS, "claims", "build", "--json").out.splitlines())
    assert found["stream"] == "user-3"
    assert end == {"streams": 3, "keys": 2, "claimed": 0, "released": 0, "duplicates": 1, "unreadable": 0}
    assert "example" not in ended.out


# --- export, import ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_what_is_exported_is_imported(ada: Application, run: Callable[..., Ended], tmp_path: Path, name: str) -> None:
    stored = ada.stored()
    assert run(*AWS, "export", name).out == "✓ exported: 2 streams, 5 events.\n"
    raw = (tmp_path / name).read_bytes()
    assert len((gzip.decompress(raw) if name.endswith("gz") else raw).splitlines()) == 6
    for item in stored:
        key: Any = {name: commit_to_item(item)[name] for name in ("stream", "version")}  # type: ignore[arg-type]
        ada.client.delete_item(TableName=EVENTS_TABLE, Key=key)
    assert answer(run(*AWS, "import", name, "--json")) == {"streams": 2, "commits": 5, "events": 5, "there": 0}
    assert ada.stored() == stored
    assert run(*AWS, "import", name).out == "✓ imported: 2 streams, 0 events, 5 commits there already.\n"
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_export_to_stdout_is_nothing_but_lines(ada: Application, run: Callable[..., Ended]) -> None:
    ended = run(*AWS, "export", "-", "--json")
    assert len([json.loads(line) for line in ended.out.splitlines()]) == 6
    assert json.loads(ended.err) == {"streams": 2, "commits": 5, "events": 5, "there": 0}


def test_an_export_that_fails_leaves_no_file(ada: Application, run: Callable[..., Ended], tmp_path: Path) -> None:
    ada.client.delete_item(TableName=EVENTS_TABLE, Key={"stream": {"S": "user-1"}, "version": {"N": "2"}})
    ended = run(*AWS, "export", "events.ndjson")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("✗ stream 'user-1', version 2: ")
    assert list(tmp_path.iterdir()) == []


def test_an_export_does_not_write_over_a_file(ada: Application, run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text("mine")
    ended = run(*AWS, "export", "events.ndjson")
    assert (ended.code, ended.err) == (2, "✗ events.ndjson exists. Name another file, or delete that one.\n")
    assert (tmp_path / "events.ndjson").read_text() == "mine"


def test_an_import_that_can_not_go_on_says_where(ada: Application, run: Callable[..., Ended], tmp_path: Path) -> None:
    run(*AWS, "export", "events.ndjson")
    lines = (tmp_path / "events.ndjson").read_bytes().splitlines(keepends=True)
    (tmp_path / "bad.ndjson").write_bytes(b"".join([*lines[:3], b"{\n"]))
    ended = run(*AWS, "import", "bad.ndjson")
    assert (ended.code, ended.err) == (2, "✗ Line 4 is not a commit: the whole: json_invalid\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"".join(lines))[:-9])
    assert "is cut off or damaged" in run(*AWS, "import", "cut.gz").err
    (tmp_path / "no.gz").write_bytes(b"".join(lines))
    assert "is cut off or damaged" in run(*AWS, "import", "no.gz").err
    assert "No such file" in run(*AWS, "import", "none").err
    ada.overwrite(replace(ada.commits("2")[0], id="other"))
    ended = run(*AWS, "import", "events.ndjson")
    assert ended.code == 2
    assert "stream 'user-2', version 1: the table has another commit there" in ended.err
