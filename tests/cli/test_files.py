"""Export files: private, whole or not there, and never one in the place of another."""

from __future__ import annotations

import gzip
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from eventfold.cli.files import FileInTheWayError, written
from eventfold.cli.options import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask that takes no right from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_a_file_is_its_owners_alone_from_its_first_byte_on(tmp_path: Path, name: str, open_umask: None) -> None:
    with written(str(tmp_path / name)) as out:
        out.write(b"Ada Lovelace\n")
        (part,) = tmp_path.iterdir()
        assert part.stat().st_mode & 0o777 == 0o600
    (file,) = tmp_path.iterdir()
    assert (file.name, file.stat().st_mode & 0o777, file.stat().st_nlink) == (name, 0o600, 1)
    raw = file.read_bytes()
    assert (gzip.decompress(raw) if name.endswith(".gz") else raw) == b"Ada Lovelace\n"


def test_of_two_runs_at_once_the_first_to_end_has_the_name(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    late, early = ExitStack(), ExitStack()
    for run in (late, early):
        run.enter_context(written(str(file))).write(b"early" if run is early else b"late")
    early.close()
    with pytest.raises(FileInTheWayError, match="exists"):
        late.close()
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("events.ndjson", b"early")]


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
@pytest.mark.parametrize("error", [Interrupted(130), KeyboardInterrupt(), OSError("disk full")])
def test_what_does_not_end_well_leaves_nothing(tmp_path: Path, name: str, error: BaseException) -> None:
    def stopped() -> None:
        with written(str(tmp_path / name)) as out:
            out.write(b"half")
            raise error

    with pytest.raises(type(error)):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"mine")
    with pytest.raises(FileInTheWayError), written(str(file)):
        pass
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"mine"]


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_links_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    file = tmp_path / "events.ndjson"
    try:
        with written(str(file)) as out:
            out.write(b"mine")
            if taken:
                file.write_bytes(b"theirs")
    except FileInTheWayError:
        assert taken
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"theirs" if taken else b"mine"]
