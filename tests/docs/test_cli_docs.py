"""The command line and its documents cannot drift apart."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from docsite.generated import cli
from mongoq.cli.app import app

COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- of whichever click it is


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.help.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_the_page_names_exactly_the_commands_that_exist_with_their_help() -> None:
    page = cli()
    named = re.findall(r"^\| \[`mongoq ([a-z-]+)`\]", page, re.MULTILINE)
    assert named == list(COMMANDS)
    assert all(f"### mongoq {name}\n\n```text\nUsage: mongoq {name} " in page for name in named)
