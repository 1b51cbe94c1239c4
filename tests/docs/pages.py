"""The pages of the documentation, and what stands on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    title: str | None
    """The file that it is a part of."""
    line: int
    """The number of its first line."""
    code: str


def name_of(page: Path) -> str:
    """How a test calls a page."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in these languages."""
    text = page.read_text()
    found = re.finditer(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [
        Block(
            one[2],
            title[1] if (title := re.search(r'title="([^"]+)"', one[3])) else None,
            text[: one.start(4)].count("\n") + 1,
            re.sub(rf"^{one[1]}", "", one[4], flags=re.MULTILINE),
        )
        for one in found
        if one[2] in languages
    ]
