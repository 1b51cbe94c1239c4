"""What a process may have no more of: threads and file descriptors.

What runs goes on without: each caller has another way, or tries again later. One log line tells of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

log = logging.getLogger("mongoq.worker")

NO_MORE: Final = (
    "this process can start no more threads: a limit is reached, of its user (ulimit -u), its container (pids) or its "
    "memory"
)


NO_DESCRIPTORS: Final = (
    "this process can open no more connections: too many of its files and sockets are open (ulimit -n)"
)
OWN_LIMITS: Final = (NO_MORE, NO_DESCRIPTORS)
"""Where it is not MongoDB that does not work."""
_NO_FILE: Final = os.strerror(errno.EMFILE)


class Starts:
    """Starts threads, and tells once while that does not work."""

    def __init__(self) -> None:
        self._told = False

    def begin(self, thread: threading.Thread) -> bool:
        """Start a thread; whether one could be had. It may be tried again."""
        try:
            thread.start()
        except RuntimeError as error:
            if not lacks_thread(error):
                raise
            if not self._told:
                self._told = True
                log.error("%s; it goes on with those it has, and tries again", NO_MORE)  # noqa: TRY400 -- one line
            return False
        self._told = False
        return True

    def begin_or_run(self, thread: threading.Thread) -> None:
        """Start a thread; where none can be had, do its work here."""
        if not self.begin(thread):
            thread.run()

    def run_all(self, threads: list[threading.Thread]) -> None:
        """Run these at once, or one after the other where there is no thread for each; returns when all have ended."""
        begun = [thread for thread in threads if self.begin(thread)]
        for thread in threads:
            if thread not in begun:
                thread.run()
        for thread in begun:
            thread.join()


starts: Final = Starts()


class Crew:
    """Threads that do the same: those that could not be started at first are started later."""

    def __init__(self, target: Callable[[], object], name: str, count: int) -> None:
        self.threads = [
            threading.Thread(target=target, name=f"{name}-{number}", daemon=True) for number in range(1, count + 1)
        ]
        self._lacking: list[threading.Thread] = []

    def __len__(self) -> int:
        return len(self.threads) - len(self._lacking)

    def start(self) -> None:
        """Start as many as there can be. RuntimeError where that is none."""
        self._lacking = [thread for thread in self.threads if not starts.begin(thread)]
        if not len(self):
            raise RuntimeError(f"can't start new thread: {NO_MORE}")

    def grow(self) -> None:
        """Start those that are lacking, where there may be more by now."""
        if self._lacking:
            self._lacking = [thread for thread in self._lacking if not starts.begin(thread)]


class Late:
    """A thread that is started now, or as soon as there can be one more."""

    def __init__(self) -> None:
        self._waiting: threading.Thread | None = None

    def begin(self, thread: threading.Thread) -> None:
        """Start it."""
        self._waiting = thread
        self.again()

    def again(self) -> None:
        """Try again, where it could not be started."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not starts.begin(waiting):
            self._waiting = waiting


def lacks_descriptor(text: str) -> bool:
    """Whether an error says that no file can be opened, in this process or in the whole system."""
    return _NO_FILE in text


def load_unwinder() -> None:
    """Load what glibc opens when a thread ends with its process: without a descriptor it would abort the process."""
    with contextlib.suppress(OSError):  # other systems have none
        ctypes.CDLL("libgcc_s.so.1")


def lacks_thread(error: BaseException) -> bool:
    """Whether an error says that no thread can be started."""
    return isinstance(error, RuntimeError) and "new thread" in str(error)
