"""The table of what a driver cannot run is kept up: each of its rows names a test that is there."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from tests.storage.drivers import CANNOT_RUN, drivers_of

TESTS: Final = [
    f"{path.stem}::{node.name}"
    for path in Path(__file__).parent.glob("test_*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef)
]


@pytest.mark.parametrize("pattern", CANNOT_RUN)
def test_each_row_names_a_test_that_is_there(pattern: str) -> None:
    assert [name for name in TESTS if fnmatchcase(name, pattern)]


def test_every_test_runs_on_a_driver() -> None:
    assert all(drivers_of(name) for name in TESTS)
