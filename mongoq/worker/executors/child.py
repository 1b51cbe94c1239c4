"""What runs in a child of the processes executor: it takes tasks from a pipe and gives their endings back.

The main thread runs handlers, one after the other, and sends each ending before the next handler starts: when
this process dies, its parent knows which task did it. A second thread reads the pipe, so that a handler learns
what the parent has to say, and the end of the parent ends this process. Nothing here talks to MongoDB.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import multiprocessing.spawn
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from types import FrameType
from typing import IO, Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption, Signal, Snooze
from mongoq.core.task import Task
from mongoq.core.verdict import describe
from mongoq.worker.attempt import FOREVER, LONGEST_RENEWAL, meant
from mongoq.worker.handlers.signature import Handler

log = logging.getLogger("mongoq.worker")

LENGTH: Final = struct.Struct("!Q")
"""In front of every message to the parent, which reads without waiting. Those to the child are bare pickles."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG: Final = 1


class Down(IntEnum):
    """What the parent says."""

    TASK = 0
    """number, deadline in seconds or None, the values of the task's fields."""
    INTERRUPT = 1
    """number, reason, seconds left or None: the handler of that task should stop."""
    RECALL = 2
    """Give back what has not started."""
    PAUSED = 3
    """number, seconds: the lease of that task is left alone now, and lasts so long."""


class Up(IntEnum):
    """What the child says."""

    RETURNED = 0
    """number, seconds, the pickled value or None."""
    RAISED = 1
    """number, seconds, the pickled error, its cause as a `Described` or None."""
    READY = 2
    """The handler is imported."""
    BROKEN = 3
    """The handler cannot be imported, and why, as a `Described`."""
    RETURN_UNSTARTED = 4
    """The numbers that were recalled in time."""
    PAUSE = 5
    """number: leave the lease of that task alone, its handler opens a transaction of its own."""
    RESUME = 6
    """number, whether the transaction was committed and the task is completed by it."""
    RENEWED = 7
    """number, until when on `elapsed()`: the lease of that task was renewed for the transaction."""


class Unsent:
    """In place of a result that did not survive the pipe. Its handler has done its work: BSON carries it no more."""

    def __init__(self, told: str) -> None:
        self._told = told

    def __repr__(self) -> str:
        return self._told


class ChildAttempt:
    """The live side of a task in a child. Implements `model.Attempt`; the deadline is counted here."""

    __slots__ = ("_again", "_interruption", "_lasts", "_limit", "_paused", "_send", "deadline_at", "number", "struck")

    def __init__(self, number: int, deadline: float | None, send: Callable[..., None]) -> None:
        self.number = number
        self.deadline_at = FOREVER if deadline is None else elapsed() + deadline
        self.struck = False
        """Whether its handler was interrupted at its deadline."""
        self._limit = FOREVER
        self._interruption: Interruption | None = None
        self._again: Snooze | None = None
        self._paused = threading.Event()
        self._lasts = 0.0
        self._send = send

    def pause(self) -> float:
        """Have the parent leave the lease alone, and wait until it does; the seconds that the lease lasts."""
        self._again = None
        self._send(Up.PAUSE, self.number)
        return self._lasts if self._paused.wait(LONGEST_RENEWAL) else 0.0

    def paused(self, lasts: float) -> None:
        """Note that the parent leaves the lease alone, which lasts so many seconds."""
        self._lasts = lasts
        self._paused.set()

    def renewed(self, until: float) -> None:
        """Tell the parent that the lease lasts until then."""
        self._send(Up.RENEWED, self.number, until)

    def resume(self, *, committed: bool, again: Snooze | None = None) -> None:
        """Tell the parent how the transaction ended."""
        self._again = again
        self._paused.clear()
        self._send(Up.RESUME, self.number, committed)

    def meant(self, error: BaseException) -> BaseException:
        """What an error of the handler stands for."""
        return meant(error, self._again)

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


class Child:
    """Runs the tasks that come through `source`, whose descriptor is one end of a socket pair."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._inbox: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._running: ChildAttempt | None = None
        # What a handler starts must not hold the pipe open.
        os.set_inheritable(source.fileno(), False)

    def run(self) -> int:
        """Work until the parent closes the pipe; the exit code."""
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
        self._send(Up.READY)
        threading.Thread(target=self._read, name="mongoq-pipe", daemon=True).start()
        while (message := self._inbox.get()) is not None:
            self._run(handler, *message)
        return 0

    def _run(self, handler: Handler, number: int, deadline: float | None, values: tuple[Any, ...]) -> None:
        task = Task(*values)
        attempt = ChildAttempt(number, deadline, self._send)
        object.__setattr__(task, "attempt", attempt)
        began = time.perf_counter()
        try:
            self._running = attempt
            try:
                value = handler(task)
            finally:
                self._running = None
            blob = None if value is None else _pickled(value)
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is its ending
            self._send(Up.RAISED, number, time.perf_counter() - began, *_carried(attempt.meant(error)))
        else:
            self._send(Up.RETURNED, number, time.perf_counter() - began, blob)

    def _read(self) -> None:
        try:
            while True:
                self._heard(*pickle.load(self._source))  # noqa: S301 -- from the parent
        except (EOFError, OSError):
            if self._running is not None:
                os._exit(1)  # the parent is gone, or has given this task up
            self._inbox.put(None)
        except BaseException:
            # Most likely the handler has left no memory; without this thread nothing can reach it any more.
            log.exception("the pipe to the worker's process failed")
            os._exit(1)

    def _heard(self, kind: Down, *message: Any) -> None:
        if kind == Down.TASK:
            self._inbox.put(message)
            return
        if kind == Down.RECALL:
            self._give_back()
            return
        attempt = self._running
        if attempt is None or attempt.number != message[0]:
            return
        if kind == Down.INTERRUPT:
            attempt.interrupt(*message[1:])
        elif kind == Down.PAUSED:
            attempt.paused(*message[1:])

    def _give_back(self) -> None:
        numbers = []
        with contextlib.suppress(queue.Empty):
            while (message := self._inbox.get_nowait()) is not None:
                numbers.append(message[0])
        self._send(Up.RETURN_UNSTARTED, numbers)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        """Raise at the deadline; a signal to the whole process group is the parent's to obey.

        A handler function and not SIG_IGN, which whatever a task starts would inherit.
        """
        attempt = self._running
        if attempt is not None and not attempt.struck and elapsed() >= attempt.deadline_at:
            attempt.struck = True
            raise DeadlineExceeded

    def _send(self, *message: Any) -> None:
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        view = memoryview(LENGTH.pack(len(data)) + data)
        try:
            with self._sending:
                while view:
                    view = view[os.write(self._source.fileno(), view) :]
        except OSError:
            os._exit(1)  # there is nobody to tell


def main(source: IO[bytes]) -> None:
    """Be a child."""
    with source:
        code = Child(source).run()
    sys.exit(code)


def _load(source: IO[bytes]) -> Handler:
    """Receive the surroundings and the handler, and import it; as `multiprocessing` does for its own children."""
    surroundings, parent, pickled = pickle.load(source)  # noqa: S301 -- from the parent
    _die_with(parent)
    process = multiprocessing.current_process()
    process._inheriting = True  # type: ignore[attr-defined]  # noqa: SLF001 -- refuses a main module without a guard
    try:
        multiprocessing.spawn.prepare(surroundings)
        handler: Handler = pickle.loads(pickled)  # noqa: S301 -- from the parent
    finally:
        del process._inheriting  # type: ignore[attr-defined]  # noqa: SLF001 -- as above
    return handler


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent dies: a handler in a call that holds the GIL sees no pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise EOFError


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 -- whatever a user's values raise when they are pickled
        return pickle.dumps(Unsent(f"{type(value).__name__} ({error})"))


def _carried(error: BaseException) -> tuple[bytes, Any]:
    """A signal as it is, any other error in words; and in words what a signal was raised from."""
    if not isinstance(error, Signal | Interrupted) or isinstance(error, DeadlineExceeded):
        return pickle.dumps(describe(error)), None
    cause = describe(error.__cause__) if error.__cause__ else None
    try:
        return pickle.dumps(error), cause
    except Exception:  # noqa: BLE001 -- a class of the user's own, or what it carries: the signal it stands for will do
        base = next(kind for kind in type(error).__mro__ if kind.__module__ == Signal.__module__)
        make, (_, _, attributes) = error.__reduce__()
        kept = {name: attributes[name] for name in ("delay", "queue") if name in attributes}
        return pickle.dumps(make(base, (), kept | {"reason": str(attributes["reason"])})), cause
