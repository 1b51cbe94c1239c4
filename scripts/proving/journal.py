"""What the processes of a run write down, each in a file of its own: one JSON object per line.

A line is one write to a file opened for appending, so a SIGKILL loses nothing that happened before it; at most its
last line is cut short, and such a line counts as not written. All instants are on `mongoq.core.clock.elapsed`, which
all processes of a machine share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mongoq.core.clock import elapsed

Line = dict[str, Any]
SUFFIX: Final = ".jsonl"


class Journal:
    """The file of one process. May be used by many threads."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = os.open(folder / f"{name}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, **fields: Any) -> None:
        """Add a line; `at` is now unless it is given."""
        line = {"what": what, "at": elapsed(), **fields}
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def read(folder: Path) -> Iterator[Line]:
    """Every whole line of every process, with the name of its file as `by`."""
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        with file.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield {"by": file.stem, **json.loads(line)}
