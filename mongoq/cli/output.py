"""Print text, JSON and tables; text from tasks is made harmless first.

On a terminal tables fit its width. Elsewhere they are plain columns of any width, so that a pipe gets all of it.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from mongoq import LogLine, Task
from mongoq.cli.printing.width import cells, hanging, padded, room
from mongoq.core.judging.backoff import Backoff, as_spec

UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of control characters, invisible formatting, lone surrogates and line separators."""
FIRST_PAGE: Final = 100
NOTHING: Final = (0, "", "-")
"""Cells that say nothing."""
PAGE: Final = 1_000
"""How many rows a table that comes row by row shows at a time."""
KEPT_TO_ITSELF: Final = frozenset({"attempt", "token"})
"""Fields of a task that are never printed: its live attempt, and the token of its claim."""


def clean(value: object, *, lines: bool = False) -> str:
    """Escape the control characters of a text; `lines` keeps line ends and tabs."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        one if one in kept or unicodedata.category(one) not in UNSAFE else one.encode("unicode_escape").decode()
        for one in text
    )


def note(text: str) -> None:
    """Print one line on stderr; on a terminal as many as it takes."""
    with suppress(OSError, ValueError):
        lines = hanging(f"mongoq: {clean(' '.join(text.split()))}", room(sys.stderr), 8)
        sys.stderr.write("".join(f"{line}\n" for line in lines))


def say(text: str = "") -> None:
    """Print text that is already clean, and flush."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Print a line that is already clean; on a terminal it takes as many as it needs."""
    say("\n".join(hanging(text, room(), 2)))


def print_json(value: object) -> None:
    """Print one JSON document in one line of ASCII, so that control characters are escaped."""
    say(json.dumps(jsonable(value), allow_nan=False))


def print_json_list(values: Iterable[object]) -> None:
    """Print a list as `print_json` does, each value as soon as it is there."""
    sys.stdout.write("[")
    for place, value in enumerate(values):
        sys.stdout.write((", " if place else "") + json.dumps(jsonable(value), allow_nan=False))
    say("]")


def jsonable(value: Any) -> Any:
    """Convert to JSON's types: dates to ISO 8601, durations to seconds, bytes to base64, other values to text."""
    if isinstance(value, bool | None) or type(value) is str:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if (parts := _parts(value)) is not None:
        return {str(name): jsonable(inner) for name, inner in parts.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """The parts of a value by their names, where it has such."""
    if isinstance(value, LogLine):
        return value._asdict()
    if isinstance(value, Backoff):
        return as_spec(value)
    if is_dataclass(value) and not isinstance(value, type):
        names = (item.name for item in fields(value) if item.name not in KEPT_TO_ITSELF or not isinstance(value, Task))
        return {name: getattr(value, name) for name in names}
    return value if isinstance(value, Mapping) else None


def brief(duration: timedelta) -> str:
    """Format a duration with one unit, such as `45s`, `3m`, `2h` or `4d`."""
    seconds = max(0, int(duration.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size or (unit == "m" and seconds >= size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def in_words(value: Any) -> str:
    """Format a value in one line, as a user would type it: strings bare, other values as JSON."""
    return clean(value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False))


def pairs(values: Mapping[str, Any]) -> str:
    """Format tags in one line: `user=42 template=welcome`."""
    return " ".join(f"{name}={in_words(value)}" for name, value in values.items())


def span(duration: timedelta | None) -> str:
    """Format a duration with two units at most."""
    if duration is None:
        return "-"
    seconds = max(0.0, duration.total_seconds())
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours < 1:
        return f"{minutes}m {int(seconds % 60):02}s"
    return f"{hours}h {minutes % 60:02}m" if hours < 48 else f"{hours // 24}d {hours % 24:02}h"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The content of a table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str
    """The text instead of a table without rows."""
    sparse: bool = False
    """Whether columns that say nothing (0, `-` or nothing) are left out when the terminal is too narrow."""
    cut: bool = False
    """Whether texts are cut on a terminal that is too narrow; else they take several lines."""
    least: Mapping[str, int] = field(default_factory=dict)
    """Widths below which a column's texts are not cut as long as another column can be left out; default 12."""
    drops: Sequence[str] = ()
    """Columns that are left out when the terminal is too narrow, the first first."""

    def without_zeros(self) -> Sheet:
        """The table without the columns that say nothing."""
        columns = zip(self.columns, zip(*self.rows, strict=True), strict=True)
        empty = [name for name, column in columns if all(cell in NOTHING for cell in column)]
        return replace(self.without(empty[: len(self.columns) - 1]), sparse=False)

    def without(self, names: Sequence[str]) -> Sheet:
        """The table without these columns."""
        kept = [place for place, name in enumerate(self.columns) if name not in names]
        rows = [[row[place] for place in kept] for row in self.rows]
        return replace(self, columns=[self.columns[place] for place in kept], rows=rows)

    def plain(self, widths: list[int] | None = None) -> Iterator[str]:
        """Yield its lines, with columns as wide as their widest cells.

        `widths` are those of the page before, where the table goes on: they grow, and no names of columns come.
        """
        if not self.rows:
            yield f"({self.empty})"
            return
        texts = [[clean(cell) for cell in row] for row in self.rows]
        widths = [] if widths is None else widths
        if not widths:
            texts.insert(0, [name.upper() for name in self.columns])
            widths += [0] * len(self.columns)
        columns = zip(*texts, strict=True)
        widths[:] = [max(width, *map(cells, column)) for width, column in zip(widths, columns, strict=True)]
        rights = self.right()  # once: it reads all rows
        for row in texts:
            line = [padded(text, width, right=right) for text, width, right in zip(row, widths, rights, strict=True)]
            yield "  ".join(line).rstrip()

    def right(self) -> list[bool]:
        """Whether each column holds only numbers, and is aligned to the right."""
        return [all(isinstance(cell, int) for cell in column) for column in zip(*self.rows, strict=True)]


def show(sheets: Sequence[Sheet]) -> None:
    """Print tables one after the other, separated by empty lines."""
    if sys.stdout.isatty():
        from mongoq.cli import drawing  # noqa: PLC0415 -- importing rich takes 50 ms, and a pipe does not need it

        drawing.draw(sheets)
    else:
        for sheet in sheets:
            sys.stdout.writelines(f"{line}\n" for line in sheet.plain())
            if len(sheets) > 1:
                sys.stdout.write("\n")
        sys.stdout.flush()


def show_rows(sheet: Sheet, rows: Iterable[Sequence[object]]) -> int:
    """Print a table whose rows come one by one, and return their number.

    The first page is shown when its rows are there; columns get wider where a later page needs it.
    """
    count = 0
    widths: list[int] = []
    rows = iter(rows)
    while page := list(itertools.islice(rows, PAGE if count else FIRST_PAGE)):
        part = replace(sheet, rows=page, title="" if count else sheet.title)
        if sys.stdout.isatty():
            show([part])
        else:
            sys.stdout.writelines(f"{line}\n" for line in part.plain(widths))
            sys.stdout.flush()
        count += len(page)
    if not count:
        show([sheet])
    return count


@contextmanager
def live() -> Iterator[Callable[[Sequence[Sheet]], None]]:
    """Yield a function that draws tables in place of those it drew before; for a terminal."""
    from mongoq.cli import drawing  # noqa: PLC0415 -- as above

    with drawing.live() as draw:
        yield draw
