"""The width of texts in columns of a terminal, and texts cut or folded to a width.

Combining marks take no column, East Asian characters and emoji take two: rich knows the tables of Unicode. It is
imported for other texts than ASCII alone, as it takes 10 ms. An emoji of several characters counts as its parts: tmux
3.3 shows a thumb with a skin tone in four columns, other terminals in two, and too wide a line would wrap.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Final, TextIO

ELLIPSIS: Final = "…"
LOOSE: Final = {"\ufe0f": 1, **dict.fromkeys("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff", 2)}
"""The selector of the emoji form, which may widen the character before it, and skin tones, which may stand alone."""
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
    """The most columns of a terminal that a text takes."""
    return len(text) if text.isascii() else sum(_widths(text))


def cut(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis where it is wider."""
    if cells(text) <= width:
        return text
    begun = _chopped(text, width - 1)[0] if width > 1 else ""
    return (begun if cells(begun) < width else "") + ELLIPSIS  # a single character may take two columns


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
    bare = text.lstrip(" ")
    begin, indent = min(len(text) - len(bare), width // 2), min(indent, width // 2)
    begun = fold(bare, width - begin)[0]
    rest = bare[len(begun) :].lstrip(" ")
    return [" " * begin + begun, *(" " * indent + line for line in (fold(rest, width - indent) if rest else ()))]


def padded(text: str, width: int, *, right: bool) -> str:
    """The text with spaces up to the width; `right` puts them before it."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _chopped(text: str, width: int) -> list[str]:
    """The text in pieces, none of them wider; marks stay with the character that they belong to."""
    if text.isascii():
        return [text[place : place + width] for place in range(0, len(text), width)] or [""]
    pieces, piece, taken = [], "", 0
    for one, wide in zip(text, _widths(text), strict=True):
        if taken + wide > width and piece:
            pieces.append(piece)
            piece, taken = "", 0
        piece, taken = piece + one, taken + wide
    return [*pieces, piece]


def _widths(text: str) -> list[int]:
    from rich.cells import get_character_cell_size  # noqa: PLC0415 -- see above

    return [LOOSE[one] if one in LOOSE else get_character_cell_size(one) for one in text]
