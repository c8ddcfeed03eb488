"""The load on the deployed stack: a short run, its checks, its report; and that the checks find what is wrong."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from app.users.rules import USERS, UserCreated, UserDeleted, UserEvent, UserUpdated
from benchmarks.load import figures, report, timings
from benchmarks.load.__main__ import run, warm_up
from benchmarks.load.checks import attempts, check
from benchmarks.load.samples import Answer, Sent, percentile, read_samples
from eventfold import Commit
from eventfold.testing.checker import Wrong, check_streams
from local import stack
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.load.samples import Samples
    from local.stack import Stack


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Stack]:
    """A stack of its own: timing the projections feeds them commits that no event table has."""
    with stack.running(tmp_path / "stack") as running:
        yield running


def each_method_in(samples: Samples) -> bool:
    return {one.route.partition(" ")[0] for one in samples.mix} >= {"POST", "PATCH", "GET"}


@pytest.mark.stack
def test_a_short_load_runs_without_errors_and_leaves_clean_tables(deployed: Stack, tmp_path: Path) -> None:
    subprocess.run(["make", ".tools/load/.ready"], cwd=ROOT, check=True)  # noqa: S607 - the Makefile's own way
    warm_up(deployed, 2)
    samples = run(deployed, tmp_path / "load.jsonl", 2, 5)
    if not each_method_in(samples):  # A busy machine spends the first seconds on the users to begin with.
        samples = run(deployed, tmp_path / "longer.jsonl", 2, 60)
    assert samples.errors == []
    assert each_method_in(samples)
    assert samples.lags
    assert [str(found) for found in check(deployed, samples.answers)] == []
    cpu = timings.cpu_times(deployed)
    measured = figures.Measured(
        machine=figures.machine(),
        alone=figures.phase(samples, 2),
        load=figures.phase(samples, 2),
        emulated_projection=timings.emulated_projection(deployed),
        cpu=cpu,
    )
    assert min(cpu.create_ms, cpu.update_ms, cpu.query_ms, cpu.projection.per_commit_ms) > 0
    assert min(measured.load.cpu_emulator_ms, measured.load.cpu_functions_ms, measured.load.cpu_client_ms) > 0
    report.write(tmp_path, samples, measured, "Checked.")
    assert f"| all | {len(samples.mix):,} |" in (tmp_path / "load.md").read_text()


# What the checks find -------------------------------------------------------------------------------------------------


def answer(sent: Sent, status: int = 200, word: str = "ok") -> Answer:
    return Answer.model_validate(
        {"kind": "answer", "route": "x", "at": 0, "seconds": 0, "status": status, "word": word, "detail": ""}
        | {"command": sent}
    )


def create(id_: str | None = "a") -> Sent:
    return Sent(key="k1", method="POST", id=id_, body={"name": "Ada"}, version=1 if id_ else None)


def rename(version: int | None = 2, key: str = "k2") -> Sent:
    return Sent(key=key, method="PATCH", id="a", body={"name": "Grace"}, version=version)


def delete(key: str = "k3") -> Sent:
    return Sent(key=key, method="DELETE", id="a", body=None)


def commit(version: int, event: UserEvent, key: str) -> Commit:
    return Commit(USERS.stream("a"), version, (USERS.codec.encode(event),), key, datetime(2026, 1, 1, tzinfo=UTC))


CREATED = commit(1, UserCreated(name="Ada"), "k1")
RENAMED = commit(2, UserUpdated(name="Grace"), "k2")
DELETED = commit(3, UserDeleted(), "k3")


def wrongs(answers: list[Answer], stored: list[Commit]) -> list[Wrong]:
    return [found.wrong for found in check_streams(attempts(answers, stored), stored)]


def test_what_was_answered_and_is_stored_is_right() -> None:
    answers = [answer(create()), answer(rename()), answer(delete(), 204), answer(delete("again"), 204)]
    assert wrongs(answers, [CREATED, RENAMED, DELETED]) == []


@pytest.mark.parametrize(
    ("answers", "stored", "wrong"),
    [
        pytest.param([create()], [], Wrong.LOST, id="a user that is nowhere"),
        pytest.param([create(), rename()], [CREATED], Wrong.LOST, id="a change that is nowhere"),
        pytest.param([create(), delete()], [CREATED], Wrong.LOST, id="a deletion that is nowhere"),
        pytest.param([create(), rename(3)], [CREATED, RENAMED], Wrong.LOST, id="another version than answered"),
        pytest.param([create()], [CREATED, RENAMED], Wrong.NEVER_ATTEMPTED, id="a commit of nobody"),
        pytest.param(
            [create(), rename()],
            [CREATED, commit(2, UserUpdated(name="Alan"), "k2")],
            Wrong.LOST,
            id="another event than asked for",
        ),
        pytest.param(
            [create(), rename()],
            [CREATED, RENAMED, commit(3, UserUpdated(name="Grace"), "k2")],
            Wrong.DOUBLED,
            id="a command that was carried out twice",
        ),
    ],
)
def test_what_is_wrong_is_found(answers: list[Sent], stored: list[Commit], wrong: Wrong) -> None:
    assert wrong in wrongs([answer(one) for one in answers], stored)


def test_a_refused_command_must_not_be_stored_and_one_without_an_answer_may_be() -> None:
    stored = [CREATED, RENAMED]
    assert wrongs([answer(create()), answer(rename(None), 409, "expected")], stored) == [Wrong.REFUSED_YET_STORED]
    for status in (0, 503, 504):
        assert wrongs([answer(create()), answer(rename(None), status, "error")], stored) == []
        assert wrongs([answer(create()), answer(rename(None), status, "error")], [CREATED]) == []


# Figures --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (90, 9), (91, 10), (99, 10), (100, 10), (1, 1)])
def test_percentiles_are_nearest_rank(percent: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value


def test_a_line_is_found_through_its_points() -> None:
    line = timings.Line.through([(1, 0.012), (10, 0.030), (100, 0.210)])
    assert line.fixed_ms == pytest.approx(10)
    assert line.per_commit_ms == pytest.approx(2)
    assert line.seconds(50) == pytest.approx(0.110)


def test_a_line_cut_short_is_no_sample(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text('{"kind": "lag", "at": 1, "seconds": 0.1}\n{"kind": "lag", "at"')
    with pytest.raises(ValueError, match="EOF"):
        read_samples(tmp_path / "cut.jsonl")
