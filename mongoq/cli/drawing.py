"""Tables on a terminal, drawn by rich. Imported only for a terminal.

A table that is printed once is never cut: the last column, which may hold long texts, takes several lines, and the
terminal wraps what is wider still. A live table is cut to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mongoq.cli.output import Sheet, cells, clean

WIDEST_KEY: Final = 40
"""A generated key has 32 characters; a longer key takes several lines."""
NARROWEST_TEXT: Final = 20
"""The least width of the last column."""


def draw(sheets: Sequence[Sheet]) -> None:
    """Print tables one after the other."""
    room = Console().width
    for sheet in sheets:
        table, width = drawn(sheet, room)
        Console(highlight=False, width=max(width, room)).print(table, "", sep="\n")


@contextmanager
def live() -> Iterator[Callable[[Sequence[Sheet]], None]]:
    """Yield a function that draws tables in place of those it drew before."""
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as screen:
        yield lambda sheets: screen.update(
            Group(*(Group(drawn(sheet, console.width)[0], "") for sheet in sheets)), refresh=True
        )


def drawn(sheet: Sheet, room: int) -> tuple[RenderableType, int]:
    """Make the table for rich; returns it and its width."""
    if not sheet.rows:
        return Text(f"({clean(sheet.empty)})", style="dim"), 0
    texts = [[f"{cell:,}" if isinstance(cell, int) else clean(cell) for cell in row] for row in sheet.rows]
    widths = [max(map(cells, column)) for column in zip(sheet.columns, *texts, strict=True)]
    widths[0] = min(widths[0], WIDEST_KEY)
    gaps = len(widths) - 1
    if sheet.sparse and sum(widths) + gaps > room:
        return drawn(sheet.without_zeros(), room)
    gap = 2 if sum(widths) + 2 * gaps <= room else 1
    widths[-1] = min(widths[-1], max(NARROWEST_TEXT, room - sum(widths[:-1]) - gap * gaps))
    table = Table(
        title=clean(sheet.title), title_justify="left", title_style="bold", header_style="dim",
        box=None, padding=(0, gap, 0, 0), pad_edge=False,
    )  # fmt: skip
    for name, width, right in zip(sheet.columns, widths, sheet.right(), strict=True):
        table.add_column(name, width=width, justify="right" if right else "left", overflow="fold")
    for row in texts:
        table.add_row(*map(Text, row))  # Text, because rich reads markup in plain strings
    return table, sum(widths) + gap * gaps
