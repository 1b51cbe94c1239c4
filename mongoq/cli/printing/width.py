"""The width of texts in columns of a terminal, and texts cut or folded to a width.

Combining marks take no column, East Asian characters and emoji take two: rich knows the tables of Unicode. It is
imported for other texts than ASCII alone, as it takes 10 ms.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Final, TextIO

ELLIPSIS: Final = "…"
NARROWEST: Final = 20
"""Narrower terminals are written to as if they had so many columns."""


def room(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal that a stream (default: stdout) writes to; None where it is none."""
    stream = sys.stdout if stream is None else stream
    return max(NARROWEST, shutil.get_terminal_size().columns) if stream.isatty() else None


def rows() -> int:
    """The rows of the terminal."""
    return shutil.get_terminal_size().lines


def cells(text: str) -> int:
    """The width of a text in columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 -- see above

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis where it is wider."""
    if cells(text) <= width:
        return text
    return (_chopped(text, width - 1)[0] if width > 1 else "") + ELLIPSIS


def fold(text: str, width: int) -> list[str]:
    """The lines of a text, none of them wider; broken between words where that can be done."""
    if cells(text) <= width:
        return [text]
    if text.isascii():
        return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cells(joined) <= width:
            line = joined
            continue
        lines += [line] if line else []
        *whole, line = _chopped(word, width)
        lines += whole
    return [*lines, line]


def hanging(text: str, width: int | None, indent: int) -> list[str]:
    """The lines of a text that is wider than the terminal; all but the first are indented. None: any width fits."""
    if width is None or cells(text) <= width:
        return [text]
    room = max(NARROWEST // 2, width - indent)
    begun = fold(text, width)[0]
    rest = text[len(begun) :].lstrip()
    return [begun, *(" " * indent + line for line in fold(rest, room) if line)]


def padded(text: str, width: int, *, right: bool) -> str:
    """The text with spaces up to the width; `right` puts them before it."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _chopped(text: str, width: int) -> list[str]:
    if text.isascii():
        return [text[place : place + width] for place in range(0, len(text), width)] or [""]
    from rich.cells import chop_cells  # noqa: PLC0415 -- see above

    return chop_cells(text, width) or [""]
