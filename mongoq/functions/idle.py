"""The attempt of a plain call: nobody asks it to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from mongoq.core.signals import Interruption
from mongoq.core.tasks.progress import Unwritten
from mongoq.core.tasks.task import Task


class _Idle:
    """Implements `Attempt` where no worker runs the function."""

    trace: str | None = None

    @property
    def task(self) -> NoReturn:
        """LookupError: a plain call has no task."""
        raise LookupError("a plain call of a function has no task: mongoq.testing.perform(function, ...) makes one")

    @property
    def parents(self) -> Mapping[str, Task]:
        """None."""
        return {}

    @property
    def interruption(self) -> Interruption | None:
        """None: it may go on."""
        return None

    @property
    def state(self) -> None:
        """None: no worker has opened anything."""
        return None

    @property
    def unwritten(self) -> Unwritten | None:
        """None: nothing is stored."""
        return None

    def progress(self, value: float | None = None, message: str | None = None) -> None:
        """Nobody asks how far it is."""

    def log(self, text: object) -> None:
        """Nothing is stored."""

    def time_left(self) -> float | None:
        """None: it may take as long as it likes."""
        return None


IDLE: Final = _Idle()
