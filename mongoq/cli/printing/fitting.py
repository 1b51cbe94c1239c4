"""Tables that fit a terminal: columns are narrowed, left out, and cut or folded, so that no line wraps. Pure.

Folded cells take several lines and lose nothing; a table that is cut shows more rows, for those who look for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from mongoq.cli.output import Sheet, clean
from mongoq.cli.printing.width import cells, cut, fold, padded

LEAST_NUMBER: Final = 5
"""A column of numbers is at least as wide, so that its name can be read."""
LEAST_TEXT: Final = 12
"""Columns are left out before a text gets narrower, as far as the table says which."""
LEAST: Final = 4
"""No text gets narrower: columns are left out from the right."""
LEVELS: Final = (LEAST_TEXT, 8, LEAST)
"""How narrow texts may get, one level after the other, where no column is left to be left out."""


def fitted(sheet: Sheet, room: int) -> list[str]:
    """The lines of a table that has rows, the names of its columns first; none is wider than `room`."""
    sheet = _leaned(sheet, room)
    sheet, widths = _narrowed(sheet, room)
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= room else 1
    rights = sheet.right()
    head = [cut(name.upper(), width) for name, width in zip(sheet.columns, widths, strict=True)]
    lines = [_line(head, widths, rights, gap)]
    for row in _texts(sheet):
        if sheet.cut:
            lines.append(_line([cut(*pair) for pair in zip(row, widths, strict=True)], widths, rights, gap))
        else:
            parts = [fold(*pair) for pair in zip(row, widths, strict=True)]
            lines += [_line(line, widths, rights, gap) for line in zip_longest(*parts, fillvalue="")]
    return lines


def _narrowed(sheet: Sheet, room: int) -> tuple[Sheet, list[int]]:
    """The table without the columns for which there is no room, and the widths of the others."""
    for name in [name for name in sheet.drops if name in sheet.columns]:
        if widths := _widths(sheet, room, LEAST_TEXT):
            return sheet, widths
        sheet = sheet.without([name])
    while len(sheet.columns) > 1:
        for least in LEVELS:
            if widths := _widths(sheet, room, least):
                return sheet, widths
        sheet = sheet.without([sheet.columns[-1]])
    return sheet, [room]


def _leaned(sheet: Sheet, room: int) -> Sheet:
    """The table without columns that say nothing, where it is too wide with them."""
    natural = _natural(sheet)
    return sheet.without_zeros() if sheet.sparse and sum(natural) + len(natural) - 1 > room else sheet


def _texts(sheet: Sheet) -> list[list[str]]:
    return [[f"{cell:,}" if isinstance(cell, int) else clean(cell) for cell in row] for row in sheet.rows]


def _natural(sheet: Sheet) -> list[int]:
    return [max(map(cells, column)) for column in zip(sheet.columns, *_texts(sheet), strict=True)]


def _widths(sheet: Sheet, room: int, least_text: int) -> list[int] | None:
    """Widths with which the table fits; None where its columns would be narrower than they may."""
    texts = _texts(sheet)
    natural, least = [], []
    for place, (right, column) in enumerate(zip(sheet.right(), zip(*texts, strict=True), strict=True)):
        name = sheet.columns[place]
        widest = max(map(cells, column))
        whole = max(widest, cells(name))
        natural.append(min(whole, room))
        declared = sheet.least.get(name, 0) if least_text == LEAST_TEXT or (place == 0 and least_text > LEAST) else 0
        least.append(max(widest, min(whole, LEAST_NUMBER)) if right else min(whole, max(declared, least_text)))
    return _shared(natural, least, room - (len(natural) - 1))


def _shared(natural: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Narrow those columns first that are widest beyond their least, until all of them fit."""
    widths = [*natural]
    while sum(widths) > room:
        able = [place for place, width in enumerate(widths) if width > least[place]]
        if not able:
            return None
        widths[max(able, key=lambda place: widths[place] - least[place])] -= 1
    return widths


def _line(row: Sequence[str], widths: Sequence[int], rights: Sequence[bool], gap: int) -> str:
    cells_ = [padded(text, width, right=right) for text, width, right in zip(row, widths, rights, strict=True)]
    return (" " * gap).join(cells_).rstrip()
