"""The tables of docs/from/celery.md say what `mongoq.contrib.celery` does with each option, and leave none out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pytest

from mongoq.contrib.celery.options import CALL, CALL_IDLE, REFUSED, TASK, TASK_IDLE
from tests.docs.pages import ROOT

NOT_OPTIONS: Final = {"Strategy", "Request", "abstract", "app", "from_config", "request_stack"}
"""Attributes of Celery's class of tasks that nobody gives to `@task`."""


def rows(heading: str) -> dict[str, str]:
    """The options of a table, with the first word on the shim."""
    text = (ROOT / "docs" / "from" / "celery.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE):
        options, *_, shim = row.split(" | ")
        for name in re.findall(r"`(\w+)`", options):
            assert name not in found, f"{name} has two rows"
            found[name] = shim.partition(":")[0]
    return found


@pytest.mark.parametrize(
    "heading, known, idle", [("Options of a task", TASK, TASK_IDLE), ("Options of a call", CALL, CALL_IDLE)]
)
def test_the_tables_say_what_the_shim_does(heading: str, known: Sequence[str], idle: Sequence[str]) -> None:
    told = rows(heading)
    assert {name for name, shim in told.items() if shim == "yes"} == set(known)
    assert {name for name, shim in told.items() if shim == "no effect"} == set(idle)
    assert {name for name, shim in told.items() if shim == "refused"} <= set(REFUSED)
    assert set(told.values()) == {"yes", "no effect", "refused"}


def test_each_refused_option_is_told() -> None:
    assert set(REFUSED) <= rows("Options of a task").keys() | rows("Options of a call").keys()


def test_no_option_of_celery_is_left_out() -> None:
    kind = pytest.importorskip("celery").Task
    own = {
        name
        for name, value in vars(kind).items()
        if not name.startswith("_") and not callable(value) and not isinstance(value, property | classmethod)
    }
    assert len(own) > 15
    assert own - NOT_OPTIONS <= rows("Options of a task").keys()
