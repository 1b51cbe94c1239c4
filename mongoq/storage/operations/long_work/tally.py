"""How far an act on many tasks has come: told on the way, and by whatever breaks it off."""

from __future__ import annotations

from collections.abc import Sized
from types import TracebackType
from typing import Self

from mongoq.core.errors import StorageUnavailable
from mongoq.core.stats import OnProgress, Progress
from mongoq.storage.commands import Op


class Tally:
    """Counts what an act has written. A context manager: an exception that leaves its block bears a note of the number.

    Ctrl-C, a lost server, a cancelled coroutine, a listener that raises: whatever it is.
    """

    def __init__(self, work: str, on_progress: OnProgress | None) -> None:
        self.done = 0
        self._work = work
        self._on_progress = on_progress
        self._under_way = 0

    def write(self, batch: Sized, op: Op[int]) -> Op[int]:
        """Run the operation that writes a batch, and count what it wrote."""
        self._under_way = len(batch)
        count = yield from op
        self._under_way = 0
        self.done += count
        if self._on_progress is not None:
            self._on_progress(Progress(self._work, self.done))
        return count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or isinstance(error, GeneratorExit):
            return
        more = f", and perhaps some of the {self._under_way:,} after them" if self._under_way and _open(error) else ""
        error.add_note(f"tasks written before it: {self.done:,}{more}")


def _open(error: BaseException) -> bool:
    """Whether the last write may have been made."""
    return error.ambiguous if isinstance(error, StorageUnavailable) else not isinstance(error, Exception)
