"""The commands that select tasks have the same options, with the same help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from mongoq import TaskState
from mongoq.cli.app import app
from mongoq.cli.looking.selecting import ALL, Selection

COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- of whichever click it is
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("command", ["ls", "export", "cancel", "delete", "move", "rerun"])
def test_a_command_that_selects_tasks_has_each_option_as_it_was_declared(command: str) -> None:
    declared = {one.name: (one.opts, one.help) for one in COMMANDS["ls"].params if one.name in ALL}
    assert {one.name: (one.opts, one.help) for one in COMMANDS[command].params if one.name in ALL} == declared
    assert list(declared) == list(ALL)


def test_a_selection_is_told_as_arguments_without_those_that_were_not_given() -> None:
    chosen = Selection(state=TaskState.FAILED, where=["tenant=acme", "n=1"], since=timedelta(hours=2))
    assert chosen.options(lambda: NOW) == {
        "state": "failed", "where": {"tenant": "acme", "n": 1}, "since": NOW - timedelta(hours=2),
    }  # fmt: skip


def test_the_clock_is_not_asked_where_no_time_ago_was_given() -> None:
    def never() -> datetime:
        raise AssertionError

    assert Selection(queue="mail", until=NOW).options(never) == {"queue": "mail", "until": NOW}
