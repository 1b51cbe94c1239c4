"""The program inside a child of the process executor: it runs the tasks that arrive on a socket, one at a time.

The main thread receives a task, calls the handler and sends the outcome. A second thread reads the control pipe, so a
running handler learns of a cancel request, a lost lease or a shutdown. Only the parent writes to that pipe: when it
closes, the parent has ended, and this process ends too. Nothing here talks to MongoDB.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing.spawn
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from enum import IntEnum
from types import FrameType
from typing import IO, Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.signals import DeadlineExceeded, Interruption, Snooze
from mongoq.core.task import Task
from mongoq.core.verdict import describe
from mongoq.worker.attempt import FOREVER, effective_error
from mongoq.worker.executors.child_outcome import pack_error, pack_result
from mongoq.worker.handlers.signature import Handler

log = logging.getLogger("mongoq.worker")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG: Final = 1


class Down(IntEnum):
    """The messages of the control pipe. Each starts with its kind and the number of the task that it is about."""

    INTERRUPT = 0
    """The reason, seconds left or None: the handler should stop."""


class Up(IntEnum):
    """The messages from the child. Each starts with its kind."""

    READY = 0
    """The handler is imported."""
    BROKEN = 1
    """The handler cannot be imported; the reason, as a `Described`."""
    RETURNED = 2
    """The pickled result, or None."""
    RAISED = 3
    """The pickled error, and its cause as a `Described` or None."""
    TRANSACTION_BEGINS = 4
    """Until when on `elapsed()` the lease is being extended, for a transaction of the handler's own."""
    TRANSACTION_ENDS = 5
    """Whether it was committed, which completes the task, and whether the lease was extended."""


class ChildAttempt:
    """The live side of a task in a child. Implements `Attempt`."""

    __slots__ = ("_interruption", "_limit", "_retry_as", "_send", "deadline_at", "deadline_raised", "number")

    def __init__(self, number: int, deadline_at: float, send: Callable[..., None]) -> None:
        self.number = number
        self.deadline_at = deadline_at
        self.deadline_raised = False
        """Whether `DeadlineExceeded` was raised in its handler."""
        self._limit = FOREVER
        self._interruption: Interruption | None = None
        self._retry_as: Snooze | None = None
        self._send = send

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop, or None while it should not."""
        if self._interruption is None and elapsed() >= self.deadline_at:
            self._interruption = Interruption.DEADLINE
        return self._interruption

    def time_left(self) -> float | None:
        """Seconds until it should have stopped; None without a limit."""
        reason = self.interruption
        if reason is not None and reason is not Interruption.SHUTDOWN:
            return 0.0
        limit = min(self.deadline_at, self._limit)
        return None if limit == FOREVER else max(0.0, limit - elapsed())

    def interrupt(self, reason: Interruption, left: float | None) -> None:
        """Tell the handler to stop, within `left` seconds where there is a limit; the first reason stays."""
        if self._interruption is None:
            self._interruption = reason
        if left is not None:
            self._limit = min(self._limit, elapsed() + left)

    # A handler's own transaction. `ChildProcess._transaction` is the other end.

    @property
    def lease_left(self) -> float:
        """0: only the parent knows how long the lease lasts."""
        return 0.0

    def begin_transaction(self, lease_until: float) -> None:
        """Have the parent leave the lease alone, which is being extended until then."""
        self._retry_as = None
        self._send(Up.TRANSACTION_BEGINS, lease_until)

    def end_transaction(self, *, committed: bool, extended: bool = True, retry_as: Snooze | None = None) -> None:
        """Tell the parent how the transaction ended."""
        self._retry_as = retry_as
        self._send(Up.TRANSACTION_ENDS, committed, extended)

    def effective_error(self, error: BaseException) -> BaseException:
        """What an error of the handler stands for."""
        return effective_error(error, self._retry_as)


class ChildProgram:
    """Receives tasks from `source`, one end of a socket pair, and sends their outcomes back through it."""

    def __init__(self, source: IO[bytes], control: IO[bytes]) -> None:
        self._source = source
        self._control = control
        self._sending = threading.Lock()
        self._running: ChildAttempt | None = None
        for file in (source, control):
            # A process that the handler starts must not hold them open.
            os.set_inheritable(file.fileno(), False)

    def run(self) -> int:
        """Run tasks until the parent closes the socket; the exit code."""
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        # The parent started this process with both blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            handler = _load(self._source)
        except EOFError:
            return 0
        except BaseException as error:  # noqa: BLE001 -- a user's module may raise anything at its import
            self._send(Up.BROKEN, describe(error))
            return 1
        threading.Thread(target=self._listen, name="mongoq-control", daemon=True).start()
        self._send(Up.READY)
        while (message := self._next()) is not None:
            self._run(handler, *message)
        return 0

    def _next(self) -> tuple[int, float, tuple[Any, ...]] | None:
        try:
            message: tuple[int, float, tuple[Any, ...]] = pickle.load(self._source)  # noqa: S301 -- from the parent
        except (EOFError, ConnectionError):
            return None
        return message

    def _run(self, handler: Handler, number: int, deadline_at: float, values: tuple[Any, ...]) -> None:
        task = Task(*values)
        attempt = ChildAttempt(number, deadline_at, self._send)
        object.__setattr__(task, "attempt", attempt)
        try:
            self._running = attempt
            try:
                value = handler(task)
            finally:
                self._running = None
            packed = pack_result(value)
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is its outcome
            self._send(Up.RAISED, *pack_error(attempt.effective_error(error)))
        else:
            self._send(Up.RETURNED, packed)

    def _listen(self) -> None:
        """Pass on what the parent says about the running task, until the parent ends."""
        try:
            while True:
                kind, number, *told = pickle.load(self._control)  # noqa: S301 -- from the parent
                attempt = self._running
                if attempt is None or attempt.number != number:
                    continue
                if kind == Down.INTERRUPT:
                    attempt.interrupt(*told)
        except EOFError:
            os._exit(1)
        except BaseException:
            # Most likely the handler has left no memory; without this thread it cannot be interrupted.
            log.exception("the control pipe of a child process failed")
            os._exit(1)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        """Raise at the deadline. Ignore a signal to the whole process group: the parent obeys it.

        This is a function and not SIG_IGN because the processes that a handler starts would inherit SIG_IGN.
        """
        attempt = self._running
        if attempt is not None and not attempt.deadline_raised and elapsed() >= attempt.deadline_at:
            attempt.deadline_raised = True
            raise DeadlineExceeded

    def _send(self, *message: Any) -> None:
        view = memoryview(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        try:
            with self._sending:
                while view:
                    view = view[os.write(self._source.fileno(), view) :]
        except OSError:
            os._exit(1)  # the parent has ended


def main(source: IO[bytes], control: int) -> None:
    """Be a child."""
    with source, open(control, "rb") as pipe:
        code = ChildProgram(source, pipe).run()
    sys.exit(code)


def _load(source: IO[bytes]) -> Handler:
    """Receive the surroundings and the handler, and import it; as `multiprocessing` does for its own children."""
    surroundings, parent, pickled = pickle.load(source)  # noqa: S301 -- from the parent
    _die_with(parent)
    multiprocessing.spawn.prepare(surroundings)
    handler: Handler = pickle.loads(pickled)  # noqa: S301 -- from the parent
    return handler


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent dies: a handler in a call that holds the GIL sees no pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise EOFError
