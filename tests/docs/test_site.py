"""The site builds without a warning, and all its pages can be reached."""

from __future__ import annotations

import enum
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mongoq
from docsite.assemble import MOVED, BrokenLink, assemble, pages
from docsite.generated import GENERATED, events_
from docsite.interface import public_fields
from docsite.text import fields_of
from mongoq import events
from mongoq.core import errors
from tests.docs.pages import ROOT


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    assemble(tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(tmp_path / "zensical.toml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "site").iterdir()} >= {"index.html", "reference", "changelog.html"}
    sources = "".join(path.read_text() for path in (tmp_path / "src").rglob("*.md"))
    assert "### LeaseLost\n\nTasks are no longer held under their tokens" in sources
    assert "| `keep_completed` | how long completed tasks are kept" in sources
    assert "\n<!-- generated:" not in sources


def test_every_page_is_in_the_navigation() -> None:
    settings = tomllib.loads((ROOT / "docs" / "site.toml").read_text())
    assert sorted(_places(settings["project"]["nav"])) == sorted(pages().values())


def _places(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from _places(value)


def test_every_generated_part_stands_on_one_page() -> None:
    text = "".join((ROOT / name).read_text() for name in pages())
    assert {name: text.count(f"<!-- generated: {name} -->") for name in GENERATED} == dict.fromkeys(GENERATED, 1)


def test_every_event_and_its_fields_are_listed() -> None:
    rows = events_().splitlines()[2:]
    assert [re.findall(r"`(\w+)`", row)[0] for row in rows] == events.__all__
    for row in rows:
        kind = getattr(events, re.findall(r"`(\w+)`", row)[0])
        assert set(kind.__annotations__) <= set(re.findall(r"`([a-z_]+)`", row))


@pytest.mark.parametrize("name", mongoq.__all__)
def test_every_field_of_a_public_value_has_a_meaning(name: str) -> None:
    kind = getattr(mongoq, name)
    if inspect.isclass(kind) and kind not in (mongoq.NewTask, mongoq.Role):  # what new() has, and words like `insert`
        told = fields_of(kind)
        assert [field for field in public_fields(kind) if not told.get(field)] == []
        if issubclass(kind, enum.Enum):
            assert [one.name for one in kind if not told.get(one.name)] == []


def test_every_error_is_in_the_tree_of_errors() -> None:
    tree = (errors.__doc__ or "").partition("Exceptions by which")[0]
    kinds = {name: getattr(mongoq, name) for name in mongoq.__all__}
    named = {name for name, kind in kinds.items() if inspect.isclass(kind) and issubclass(kind, mongoq.MongoqError)}
    below = {name for name in named if issubclass(kinds[name], mongoq.TaskNotCompleted)}
    assert set(re.findall(r"\b[A-Z]\w+[a-z]\b", tree)) >= named - below | {"TaskNotCompleted"}


def test_a_link_to_a_file_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    for name in MOVED:
        (tmp_path / name).write_text("`[no](link.md)`\n")
    (tmp_path / "README.md").write_text("[`x`](docs/gone.md)\n")
    monkeypatch.setattr("docsite.assemble.ROOT", tmp_path)
    with pytest.raises(BrokenLink, match=r"README\.md: docs/gone\.md"):
        assemble(tmp_path / "build")
