"""Fold a traceback to the frames of the user's own code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FRAME: Final = re.compile(r'^  File "(?P<file>[^"]+)", line \d+')
FOREIGN: Final = re.compile(
    r"[/\\](site-packages|dist-packages|lib[/\\]python3|mongoq[/\\](worker|functions|api|storage|hooks|testing))"
)


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines in a row of a traceback."""

    text: str
    folded: int
    """How many frames of libraries these are; 0: they are the user's own, or no frames."""


def folded(traceback: str) -> list[Part]:
    """The parts of a traceback: frames of libraries in a row make one part, the rest is shown as it is."""
    groups: list[tuple[bool, int, list[str]]] = []
    foreign = False
    for line in traceback.rstrip().splitlines():
        frame = FRAME.match(line)
        begins = frame is not None
        if frame is not None:
            foreign = FOREIGN.search(frame["file"]) is not None
        elif not line.startswith("    "):
            foreign = False
        if groups and groups[-1][0] is foreign:
            groups[-1] = (foreign, groups[-1][1] + begins, [*groups[-1][2], line])
        else:
            groups.append((foreign, int(begins), [line]))
    return [Part("\n".join(lines), count if is_foreign else 0) for is_foreign, count, lines in groups]
