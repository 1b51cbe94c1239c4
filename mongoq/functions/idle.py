"""The attempt of a plain call: nobody asks it to stop."""

from __future__ import annotations

from typing import Final

from mongoq.core.signals import Interruption


class _Idle:
    """Implements `Attempt` where no worker runs the function."""

    @property
    def interruption(self) -> Interruption | None:
        """None: it may go on."""
        return None

    @property
    def state(self) -> None:
        """None: no worker has opened anything."""
        return None

    def time_left(self) -> float | None:
        """None: it may take as long as it likes."""
        return None


IDLE: Final = _Idle()
