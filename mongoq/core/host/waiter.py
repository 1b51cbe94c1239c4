"""A wait that any thread can end."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Waiter"]


class Waiter:
    """A flag with one callback; any thread may notify it, before or during the wait.

    The driver that waits (a thread, an event loop) attaches a callback that wakes it. `attach` stores the callback
    before it reads the flag; `notify` sets the flag before it reads the callback. Whichever order two threads run in,
    at least one sees the other, so the callback is called once or twice.
    """

    __slots__ = ("_wake", "notified")

    def __init__(self) -> None:
        self.notified = False
        self._wake: Callable[[], object] | None = None

    def notify(self) -> None:
        """End the wait."""
        self.notified = True
        wake = self._wake
        if wake is not None:
            wake()

    def attach(self, wake: Callable[[], object] | None) -> None:
        """Call `wake` at the next notification, or now if there was one; None: the wait is over."""
        self._wake = wake
        if self.notified and wake is not None:
            wake()

    def rearm(self) -> None:
        """Clear the flag, for another wait."""
        self.notified = False
