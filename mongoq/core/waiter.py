"""One who waits for something that another thread brings about."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Waiter"]


class Waiter:
    """Waits until it is notified; any thread may notify it, before or while it waits.

    Whoever runs it on (a thread, an event loop) attaches how it is woken. `attach` stores the callback and then reads
    the flag, `notify` sets the flag and then reads the callback: whichever order two threads run in, one sees the
    other, and a callback may be called twice.
    """

    __slots__ = ("_wake", "notified")

    def __init__(self) -> None:
        self.notified = False
        self._wake: Callable[[], object] | None = None

    def notify(self) -> None:
        """Let it go on."""
        self.notified = True
        wake = self._wake
        if wake is not None:
            wake()

    def attach(self, wake: Callable[[], object] | None) -> None:
        """Call `wake` at a notification, or now where there was one; None: nobody waits just now."""
        self._wake = wake
        if self.notified and wake is not None:
            wake()

    def rearm(self) -> None:
        """Forget that it was notified: it may wait once more."""
        self.notified = False
