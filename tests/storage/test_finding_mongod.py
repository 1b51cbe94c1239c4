"""Which mongod an embedded server runs, and what is said where it cannot run."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from mongoq.core.errors import ConfigurationError, StorageUnavailable
from mongoq.embedded import server
from mongoq.embedded.server import find_mongod, open_embedded


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_where_no_mongod_is_found_the_error_names_three_ways_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MONGOQ_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server, "_in_wheel", lambda: None)
    with pytest.raises(ConfigurationError) as caught:
        open_embedded(tmp_path / "db")
    for way in ("mongoq[embedded]", "MONGOQ_MONGOD", "PATH"):
        assert way in str(caught.value)


def test_mongod_is_looked_for_on_the_path_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = program(tmp_path / "mongod", "true")
    monkeypatch.delenv("MONGOQ_MONGOD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server, "_in_wheel", lambda: None)
    assert find_mongod() == there


def test_mongod_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONGOQ_MONGOD", str(program(tmp_path / "mine", "true")))
    assert find_mongod() == tmp_path / "mine"


def test_finding_the_wheel_does_not_import_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONGOQ_MONGOD", raising=False)
    find_mongod()
    assert not [name for name in sys.modules if name.startswith("fiftyone")]


def test_a_named_mongod_that_is_no_program_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONGOQ_MONGOD", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"MONGOQ_MONGOD: .* is not an executable file"):
        find_mongod()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(ConfigurationError, match=r"folder: .*file.* is not a folder"):
            open_embedded(tmp_path / place)


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="empty or was made by mongoq"):
        open_embedded(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.long
def test_a_mongod_that_cannot_run_is_quoted(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path / "broken", "echo 'libcurl.so.4: cannot open' >&2; exit 127")
    monkeypatch.setenv("MONGOQ_MONGOD", str(broken))
    with pytest.raises(StorageUnavailable, match=r"did not start: libcurl\.so\.4: cannot open"):
        open_embedded(folder)


@pytest.mark.long
def test_a_mongod_that_refuses_its_data_is_quoted(folder: Path) -> None:
    (folder / "data" / "mongod.lock").mkdir(parents=True)
    (folder / "start.lock").touch()
    with pytest.raises(StorageUnavailable, match=r"did not start: .*mongod\.lock"):
        open_embedded(folder)
