"""The command `top`: a live screen of queues, failures and running tasks, with keys to act."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Final

import typer

from mongoq import ConfigurationError, MongoqError, Queue
from mongoq.cli.looking.failing import plain
from mongoq.cli.options import AsJson, place, refuse
from mongoq.cli.output import print_json
from mongoq.cli.watching.reading import Snapshot, read, retry, rows, toggle
from mongoq.cli.watching.screen import drawn
from mongoq.cli.watching.state import Act, Todo, Top, View, pressed
from mongoq.core.explaining.grouping import grouped

NAMED: Final = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b": "escape", "\t": "tab", "\r": "enter",
    "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x03": "ctrl-c",
}  # fmt: skip
"""Keys that are no characters, as terminals send them."""
AWAY: Final = "! "
"""How a line begins that says what is wrong."""


def top(
    context: typer.Context,
    *,
    every: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="Read anew at this interval.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Watch queues, failures and running tasks on one screen; filter, pause, resume and retry by keys.

    Up and down choose a row, tab changes the view, / filters, p pauses or resumes the chosen queue or name, r runs its
    failed tasks again after a question, q quits. --json prints what it would show, once.
    """
    with place(context).open(reading=True) as queue:
        if as_json:
            print_json(_plain(queue))
        elif not (sys.stdin.isatty() and sys.stdout.isatty()):
            refuse("top needs a terminal; mongoq stats prints once, and --json what top would show")
        else:
            _watch(queue, every)


def _plain(queue: Queue) -> dict[str, object]:
    failed, busy = read(queue, View.FAILURES), read(queue, View.TASKS)
    return {
        "queues": failed.queues, "workers": failed.workers, "pauses": list(map(str, failed.pauses)),
        "failures": [plain(group) for group in grouped(failed.tasks, by_name=True)], "tasks": busy.tasks,
    }  # fmt: skip


def _watch(queue: Queue, every: float) -> None:
    """Show the screen until somebody quits."""
    from rich.console import Console, Group  # noqa: PLC0415 -- importing rich takes 50 ms
    from rich.live import Live  # noqa: PLC0415 -- as above
    from rich.text import Text  # noqa: PLC0415 -- as above

    top, now = Top(), read(queue, View.QUEUES)
    due = time.monotonic() + every
    with _keys() as waited, Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            size = shutil.get_terminal_size()
            listed = rows(top.view, now)
            top = top.settled(listed)
            lines = drawn(top, now, listed, queue.namespace, width=size.columns, height=size.lines)
            live.update(Group(*(Text(line.text, style=line.style, no_wrap=True) for line in lines)), refresh=True)
            key = waited(max(0.0, due - time.monotonic()))
            after, todo = (top, None) if key is None else pressed(top, key, listed)
            if todo is not None and todo.act is Act.QUIT:
                return
            if todo is not None:
                after = replace(after, said=_done(queue, todo, now))
            if key is None or todo is not None or after.view is not top.view:
                now, after = _read(queue, after, now)
                due = time.monotonic() + every
            top = after


def _read(queue: Queue, top: Top, before: Snapshot) -> tuple[Snapshot, Top]:
    """What is now; or what was before, and a screen that says why nothing newer is known."""
    try:
        return read(queue, top.view), replace(top, said="") if top.said.startswith(AWAY) else top
    except MongoqError as error:
        return before, replace(top, said=f"{AWAY}{error}")


def _done(queue: Queue, todo: Todo, now: Snapshot) -> str:
    """Do what a key asks for, and say what was done."""
    row = todo.row
    if row is None:
        return ""
    try:
        return f"{row.about}: {toggle(queue, row, now) if todo.act is Act.PAUSE else retry(queue, row)}"
    except MongoqError as error:
        return f"{AWAY}{error}"


@contextmanager
def _keys() -> Iterator[Callable[[float], str | None]]:
    """Yield what waits for a key, so long at most; None where none came. Keys are not echoed."""
    try:
        import termios  # noqa: PLC0415 -- not everywhere
        import tty  # noqa: PLC0415 -- as above
    except ModuleNotFoundError:
        raise ConfigurationError("top needs a POSIX terminal; mongoq stats --watch 2 works anywhere") from None
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)
    tty.setcbreak(source)
    try:
        yield lambda timeout: _key(source, timeout)
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)


def _key(source: int, timeout: float) -> str | None:
    if not select.select([source], [], [], timeout)[0]:
        return None
    sent = os.read(source, 32).decode(errors="replace")
    return NAMED.get(sent, sent[:1] if not sent.startswith("\x1b") else "unknown") or "q"
