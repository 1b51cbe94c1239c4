"""The fixtures of the pytest plugin, as a user's suite gets them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest
import pytest_mongoq

from mongoq import Queue, Unsupported, testing
from mongoq.testing import run_due

PAGE: Final = Path(__file__).parents[2] / "docs" / "testing.md"


def pytest_of(folder: Path, text: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file, in a process of its own."""
    (folder / "test_users.py").write_text(textwrap.dedent(text))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *options, "test_users.py"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment
    )


def test_the_page_s_own_test_passes_without_a_server(tmp_path: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = pytest_of(tmp_path, block)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_every_helper_and_fixture() -> None:
    told = PAGE.read_text()
    fixtures = [name for name in vars(pytest_mongoq) if name.startswith("mongoq_")]
    missing = [name for name in (*testing.__all__, *fixtures) if f"{name}" not in told]
    assert not missing


def test_a_suite_that_uses_no_fixture_imports_nothing_of_mongoq(tmp_path: Path) -> None:
    text = """
        import sys

        def test_nothing_is_imported():
            assert "pytest_mongoq" in sys.modules
            assert not [name for name in sys.modules if name.split(".")[0] in ("mongoq", "pymongo", "mongomock")]
    """
    done = pytest_of(tmp_path, text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_server_fixture_says_what_it_needs(tmp_path: Path) -> None:
    text = """
        def test_needs_a_server(mongoq_server):
            mongoq_server.new()
    """
    done = pytest_of(tmp_path, text, MONGOQ_MONGOD=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "the fixture mongoq_server needs a MongoDB of this machine" in done.stdout


def test_the_server_fixture_is_a_real_server(mongoq_server: Queue) -> None:
    task = mongoq_server.new({"n": 1})
    assert not mongoq_server.standalone()
    claimed = mongoq_server.try_claim()
    assert claimed is not None
    with mongoq_server.transaction(claimed):
        mongoq_server.new({"n": 2})
    assert mongoq_server.get(task.key).finished
    [ran] = run_due(mongoq_server, lambda task: "ran", advance=False)
    assert ran.task.tags == {"n": 2}


def test_the_namespaces_of_two_tests_are_apart(mongoq_server: Queue) -> None:
    assert mongoq_server.empty()


def test_what_mongomock_cannot_do_names_the_fixture_that_can(mongoq_queue: Queue) -> None:
    mongoq_queue.new()
    task = mongoq_queue.try_claim()
    assert task is not None
    with pytest.raises(Unsupported, match="mongoq_server"), mongoq_queue.transaction(task):
        pytest.fail("the block is not entered")
    with pytest.raises(Unsupported, match="mongoq_server"):
        mongoq_queue.new(session=object())  # type: ignore[arg-type]
