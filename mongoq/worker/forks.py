"""What a process that was forked from a worker inherits, and what it must not go on with.

`os.fork()` and `multiprocessing` copy the thread that calls them, with the worker around it. The copy gets back the
signal handlers of before and lets go of the worker's pipes; when it comes to the end of the handler it exits, instead
of running the worker's other tasks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mongoq.core.judging.verdict import Outcome, Raised

_forks = 0
_hooks: dict[int, Callable[[], object]] = {}
_own = threading.local()


def generation() -> int:
    """A number that another process than this one never gives: how many forks lie before it."""
    return _forks


def at_fork(hook: Callable[[], object]) -> Callable[[], object]:
    """Call `hook` in each process that is forked from now on; returns what ends that."""
    number = max(_hooks, default=0) + 1
    _hooks[number] = hook
    return lambda: _hooks.pop(number, None)


def forget(*descriptors: int) -> None:
    """Let go of pipes of the worker's in a fork: their numbers stay taken, so that nothing else is closed later."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


def leave(outcome: Outcome) -> None:
    """End this process, a fork that has come to the end of the handler: with its exit code, or 1 after an error."""
    code = _exit_code(outcome)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


@contextmanager
def taken_over(handlers: Mapping[int, Callable[[int, Any], object]]) -> Iterator[None]:
    """Handle these signals in this process; forks get the handlers of before."""
    process = os.getpid()

    def owned(handler: Callable[[int, Any], object]) -> Callable[[int, Any], object]:
        def arrived(number: int, frame: Any) -> None:
            if os.getpid() == process:
                handler(number, frame)
                return
            give_back()  # it came before the hook
            signal.raise_signal(number)

        return arrived

    before: dict[int, Any] = {}

    def give_back() -> None:
        for number, handler in before.items():
            if getattr(signal.getsignal(number), "__name__", "") == "arrived":
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    before.update({number: signal.getsignal(number) for number in handlers})
    end = at_fork(give_back)
    try:
        for number, handler in handlers.items():
            signal.signal(number, owned(handler))
        yield
    finally:
        end()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _exit_code(outcome: Outcome) -> int:
    if not isinstance(outcome, Raised):
        return 0
    error = outcome.error
    if not isinstance(error, SystemExit):
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{error.code}\n")  # as the interpreter does
    return 1


def _before() -> None:
    # Python forgets a signal that comes as a fork begins: it has to wait until the handlers are those of before.
    _own.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))


def _in_the_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _own.mask)


def _in_the_fork() -> None:
    global _forks  # noqa: PLW0603 -- one number per process is what is meant
    _forks += 1
    for hook in list(_hooks.values()):
        with contextlib.suppress(Exception):
            hook()
    _hooks.clear()
    signal.pthread_sigmask(signal.SIG_SETMASK, _own.mask)


os.register_at_fork(before=_before, after_in_parent=_in_the_parent, after_in_child=_in_the_fork)
