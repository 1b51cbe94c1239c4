"""The glossary is in order, and has what the code has a name for."""

from __future__ import annotations

import re

from mongoq import Signal, TaskState
from tests.docs.pages import ROOT

ROWS = dict(re.findall(r"^\| ([a-z][a-z ]*) \| (.+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE))


def test_the_words_are_in_order() -> None:
    assert list(ROWS)[1:] == sorted(list(ROWS)[1:])


def test_every_state_and_every_signal_is_explained() -> None:
    assert [state for state in TaskState if f"`{state}`" not in ROWS["state"]] == []
    assert [kind.__name__ for kind in Signal.__subclasses__() if f"`{kind.__name__}`" not in ROWS["signal"]] == []
