"""Being process 1 of a container: the worker runs in a child, and orphans are reaped."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def fork_as_init() -> None:
    """Return in a child; here, pass signals on to it, reap whatever ends, and exit as it does.

    Orphans of a container become children of its process 1, and stay as zombies until it waits for them. A worker
    cannot: it would take the exit codes that its handlers wait for. A signal that nobody handles is lost on it, too.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    child = os.fork()
    if child:
        _serve(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)


def _serve(child: int) -> None:
    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
