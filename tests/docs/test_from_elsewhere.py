"""The pages for those who come from another queue name what is there: verbs, options and words of mongoq."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import mongoq
from mongoq import Attempt, Done, Queue, Task, Tasks
from mongoq.core.judging.backoff import Backoff
from mongoq.functions.decorator import TaskDecorator
from mongoq.functions.options import TaskOptions
from tests.docs.pages import PAGES as PAGES_OF_THE_DOCS
from tests.docs.pages import ROOT

PAGES = ("celery.md", "others.md")
TAKE_OPTIONS: tuple[Any, ...] = (
    Queue, Queue.new, Queue.run, Queue.start, Queue.limit, Queue.schedule, Queue.batch, Queue.pause, Queue.tasks,
    Queue.rerun_all, Queue.cancel_all, TaskDecorator.__call__, Done, mongoq.Retry, mongoq.Exponential,
)  # fmt: skip
OPTIONS = {name for taking in TAKE_OPTIONS for name in inspect.signature(taking).parameters}
OPTIONS |= set(TaskOptions.__annotations__)
OWNERS: dict[str, Any] = {"queue": Queue, "attempt": Attempt, "task": Task, "tasks": Tasks}
OF_A_CALL = {"timeout", "user"}
"""Options of a handle, and arguments of the pages' own functions."""


def right_columns(page: str) -> list[str]:
    """What stands in the column of mongoq, in all tables of a page."""
    rows = [line.split(" | ") for line in (ROOT / "docs" / "from" / page).read_text().splitlines()]
    return [row[1] for row in rows if row[0].startswith("| ") and len(row) > 1]


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_name_what_there_is(page: str) -> None:
    codes = [code for cell in right_columns(page) for code in re.findall(r"`([^`]+)`", cell)]
    assert len(codes) > 50
    assert strange("queue.nothing(user_id=1)") == ["nothing", "user_id"]
    assert [(code, name) for code in codes for name in strange(code)] == []


def test_every_backoff_that_a_page_shows_can_be_made() -> None:
    shown = [
        text
        for page in PAGES_OF_THE_DOCS
        for text in re.findall(r"\b(?:Constant|Exponential|Ladder|Linear)\([^().]+\)", page.read_text())
    ]
    assert "Ladder([10, 30, 60])" in shown
    assert [text for text in shown if not isinstance(eval(text, vars(mongoq).copy()), Backoff)] == []  # noqa: S307


def strange(code: str) -> list[str]:
    """The names of a piece of code that mongoq does not have."""
    code = re.sub(r"timedelta\([^)]*\)", "", code)
    attributes = re.findall(r"\b(queue|attempt|task|tasks)\.(\w+)", code)
    return [
        *(name for owner, name in attributes if not hasattr(OWNERS[owner], name)),
        *(name for name in re.findall(r"\b(\w+)=", code) if name not in OPTIONS | OF_A_CALL),
        *(name for name in re.findall(r"\b([A-Z][a-z]\w+)\(", code) if not hasattr(mongoq, name)),
    ]
