"""Tables on a terminal, in rich's colours. Imported only for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mongoq.cli.output import Sheet, clean
from mongoq.cli.printing.fitting import fitted
from mongoq.cli.printing.width import cut, room


def draw(sheets: Sequence[Sheet]) -> None:
    """Print tables one after the other."""
    wide = room() or Console().width
    console = Console(highlight=False, width=wide)
    for place, sheet in enumerate(sheets):
        if place:
            console.print()
        for line in drawn(sheet, wide):
            console.print(line, soft_wrap=True)


@contextmanager
def live() -> Iterator[Callable[[Sequence[Sheet]], None]]:
    """Yield a function that draws tables in place of those it drew before."""
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as screen:
        yield lambda sheets: screen.update(
            Group(*(line for sheet in sheets for line in [*drawn(replace(sheet, cut=True), console.width), Text("")])),
            refresh=True,
        )


def drawn(sheet: Sheet, width: int) -> list[Text]:
    """The lines of a table, none wider than `width`."""
    if not sheet.rows:
        return [Text(cut(f"({clean(sheet.empty)})", width), style="dim")]
    title = [Text(cut(clean(sheet.title), width), style="bold")] if sheet.title else []
    head, *rows = fitted(sheet, width)
    return [*title, Text(head, style="dim"), *map(Text, rows)]  # Text, because rich reads markup in plain strings
