"""What the screen of `top` shows and asks, and what a key does to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

KEYS: Final = "up down choose  tab view  / filter  p pause, resume  r retry failed  q quit"

MOVES: Final = {"down": 1, "j": 1, "up": -1, "k": -1}
"""How far keys move the cursor."""


class View(StrEnum):
    """What is listed."""

    QUEUES = "queues"
    FAILURES = "failures"
    TASKS = "tasks at work"


class Act(StrEnum):
    """What is to be done to the chosen row."""

    PAUSE = "pause"
    RETRY = "retry"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Row:
    """A line that can be chosen."""

    cells: tuple[object, ...]
    text: str
    """What a filter looks at."""
    id: str
    """What it is known by when the rows are read anew, in another order."""
    queue: str | None = None
    """The queue that `p` and `r` mean; None: the name."""
    name: str | None = None
    error: str | None = None
    """With `r`: only failed tasks with this type of error."""

    @property
    def about(self) -> str:
        """The row in a question."""
        what = f"queue {self.queue}" if self.queue is not None else f"tasks named {self.name}"
        return f"{self.error} of {what}" if self.error else what


@dataclass(frozen=True, slots=True)
class Top:
    """The state of the screen."""

    view: View = View.QUEUES
    cursor: int = 0
    filter: str = ""
    typing: bool = False
    """Whether keys go into the filter."""
    asking: Row | None = None
    """The row whose retry waits for a yes."""
    mark: str = ""
    """The `id` of the row under the cursor."""
    said: str = ""
    """What was done, or what is wrong."""

    def shown(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that pass the filter."""
        return [row for row in rows if self.filter.lower() in row.text.lower()]

    def settled(self, rows: Sequence[Row]) -> Top:
        """The screen for these rows: the cursor stays on its row, wherever that stands now."""
        ids = [row.id for row in self.shown(rows)]
        place = ids.index(self.mark) if self.mark in ids else max(0, min(self.cursor, len(ids) - 1))
        return replace(self, cursor=place, mark=ids[place] if ids else "")


class Todo(NamedTuple):
    """What is to be done, and to which row."""

    act: Act
    row: Row | None = None


def pressed(top: Top, key: str, rows: Sequence[Row]) -> tuple[Top, Todo | None]:
    """The settled screen after a key, and what is to be done."""
    if top.typing:
        return _typed(top, key), None
    if top.asking is not None:
        return replace(top, asking=None), Todo(Act.RETRY, top.asking) if key in ("y", "Y") else None
    if key in ("q", "ctrl-c"):
        return top, Todo(Act.QUIT)
    shown = top.shown(rows)
    if shown and key in MOVES:
        place = max(0, min(top.cursor + MOVES[key], len(shown) - 1))
        return replace(top, cursor=place, mark=shown[place].id), None
    if shown and key == "p":
        return top, Todo(Act.PAUSE, shown[top.cursor])
    if shown and key == "r" and top.view is not View.TASKS:
        return replace(top, asking=shown[top.cursor]), None
    return _turned(top, key), None


def _turned(top: Top, key: str) -> Top:
    if key == "tab":
        views = list(View)
        return replace(top, view=views[(views.index(top.view) + 1) % len(views)], cursor=0, mark="")
    if key == "/":
        return replace(top, typing=True)
    return replace(top, filter="") if key == "escape" else top


def _typed(top: Top, key: str) -> Top:
    if key in ("enter", "ctrl-c"):
        return replace(top, typing=False)
    if key == "escape":
        return replace(top, typing=False, filter="")
    if key == "backspace":
        return replace(top, filter=top.filter[:-1])
    return replace(top, filter=top.filter + key) if len(key) == 1 and key.isprintable() else top
