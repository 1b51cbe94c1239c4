"""Every block of every page: Python compiles, and commands exist with their arguments and options."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from mongoq.cli.app import app
from tests.docs.pages import PAGES, ROOT, blocks, name_of

GROUP: Any = typer.main.get_command(app)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile("\n" * (block.line - 1) + block.code, str(page), "exec", flags=flags, dont_inherit=True)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_exists_with_its_options(page: Path) -> None:
    for line in _lines(page):
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words.pop(0)  # a variable of the environment
        if words[:3] == ["python", "-m", "mongoq"]:
            words[:3] = ["mongoq"]
        if words and words[0] == "mongoq":
            check(words[1:])
        elif words and words[0].startswith("./scripts/"):
            assert (ROOT / words[0]).exists(), line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_example_that_a_page_names_is_a_link(page: Path) -> None:
    """The site has copies of the files that are linked; who reads it has nothing else."""
    without_links = re.sub(r"\[[^\]]*\]\([^)]*\)", "", page.read_text())
    assert re.findall(r"`(examples/[\w./-]+)`", without_links) == []


def _lines(page: Path) -> list[str]:
    code = "\n".join(block.code for block in blocks(page, "console", "sh", "bash"))
    lines = re.sub(r"\\\n\s*", " ", code).splitlines()
    return [line.removeprefix("$ ") for line in lines]


def check(words: list[str]) -> None:
    """Parse a command as the command line does; what it refuses raises."""
    words = [word for word in words if word not in ("&", "...")]
    while words and words[0] in ("--uri", "--namespace"):
        del words[:2]
    if words and not words[0].startswith("--"):
        GROUP.commands[words[0]].make_context(words[0], words[1:]).close()
