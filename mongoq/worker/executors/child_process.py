"""A child of the process executor, as its parent sees it.

One thread owns a child: it starts it, gives it one task at a time and waits for the outcome on a blocking socket.
Other threads may call `look`, which interrupts and kills, and `stop`. Their messages go through a second pipe, and
they never wait for it: a task causes a few messages of 60 bytes, and a pipe holds 64 KB.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption
from mongoq.core.task import Task
from mongoq.core.verdict import Described, Ending, Raised, Released
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.executors.blueprint import Blueprint
from mongoq.worker.executors.child import Down, Up
from mongoq.worker.executors.child_outcome import unpack_error, unpack_result

MOMENT: Final = 0.5
"""Seconds between the notice to stop and the kill."""
LAST_MOMENT: Final = 1.0
"""Seconds for an idle child to exit by itself."""
LOOK: Final = 0.5
LOOK_OFTEN: Final = 0.05
"""Seconds between looks at a handler that has to stop: a signal that comes before it has started is lost."""
GONE: Final = (OSError, EOFError, pickle.UnpicklingError)
"""What reading from a child raises where it has ended, also in the middle of a message."""
# All that a task has but its live side, which stays here.
VALUES: Final = attrgetter(*[field.name for field in fields(Task) if field.name != "attempt"])


class ChildProcess:
    """A child. Start it in a thread that has SIGTERM and SIGINT blocked, which it inherits, and that outlives it.

    Linux kills the child when that thread ends. `look_soon` asks for a `look` at once.
    """

    def __init__(self, blueprint: Blueprint, look_soon: Callable[[], None]) -> None:
        self.ready = False
        """Whether it has imported the handler."""
        self._greeting = blueprint.greeting
        self._look_soon = look_soon
        self._lock = threading.Lock()
        """Guards all below."""
        self._number = 0
        self._attempt: LiveAttempt | None = None
        self._told: Interruption | None = None
        self._kill_at = FOREVER
        self._stopped = False
        self._fate: Ending | None = None
        """The outcome of the task for which it was killed."""
        self._socket, theirs = socket.socketpair()
        control, self._control = os.pipe()
        os.set_blocking(self._control, False)
        try:
            ends = [theirs.fileno(), control]
            command = [*blueprint.command, *map(str, ends)]
            self._process = subprocess.Popen(command, pass_fds=ends, stdin=subprocess.DEVNULL)
        except BaseException:
            self._socket.close()
            os.close(self._control)
            raise
        finally:
            theirs.close()
            os.close(control)
        self._source = self._socket.makefile("rb")

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended."""
        return self._process.returncode is not None

    def alive(self) -> bool:
        """Whether it may be given a task. One that died while it was idle must not be: the task would be charged."""
        return self._fate is None and self._process.poll() is None

    def greet(self) -> str | None:
        """Send the handler and wait until it is imported; the reason where it cannot be."""
        try:
            self._socket.sendall(self._greeting)
            kind, *told = pickle.load(self._source)  # noqa: S301 -- from our own child
        except GONE:
            return f"it {self._end()}"
        if kind == Up.BROKEN:
            return f"{told[0].kind}: {told[0].message}\n{told[0].frames}"
        self.ready = True
        return None

    def perform(self, attempt: LiveAttempt) -> Ending:
        """Run a task and wait for its outcome."""
        try:
            task = VALUES(attempt.task)
            message = pickle.dumps((self._number + 1, attempt.deadline_at, task), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001 -- whatever a task's values raise when they are pickled
            return Raised(error)
        if not self._take(attempt):
            return Released()
        try:
            self._socket.sendall(message)
            return self._outcome(attempt)
        except GONE:
            code = self._end()
            return self._fate or Raised(Described("WorkerCrashed", f"the process that ran it {code}", ""))
        finally:
            attempt.on_interrupt = None
            with self._lock:
                self._attempt = None

    def look(self, now: float) -> float:
        """Tell the handler to stop where it should, and kill it where it does not; the seconds until the next look."""
        with self._lock:
            if self._process.poll() is not None:
                # A process that the handler has started may hold the socket open, and the owner would wait for it.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                return LOOK
            if self._attempt is None or self._fate is not None:
                return LOOK
            return self._look(self._attempt, now)

    def stop(self) -> None:
        """Kill it where it is not idle; give it no more tasks."""
        with self._lock:
            self._stopped = True
            if self._attempt is not None or not self.ready:
                self._kill(Released())

    def end(self) -> None:
        """Let it exit by itself, or kill it where it does not; returns when it has ended."""
        if self.ready and self._fate is None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST_MOMENT)
        self._end()
        self._source.close()
        self._socket.close()
        os.close(self._control)

    def _take(self, attempt: LiveAttempt) -> bool:
        with self._lock:
            if self._stopped:
                return False
            self._number += 1
            self._attempt = attempt
            self._told = None
            self._kill_at = FOREVER
        attempt.on_interrupt = self._interrupted
        if attempt.deadline_at != FOREVER:
            self._look_soon()
        return True

    def _interrupted(self, _attempt: LiveAttempt, _reason: Interruption) -> None:
        self._look_soon()

    def _outcome(self, attempt: LiveAttempt) -> Ending:
        while True:
            kind, *told = pickle.load(self._source)  # noqa: S301 -- from our own child
            if kind == Up.RETURNED:
                return unpack_result(*told)
            if kind == Up.RAISED:
                return unpack_error(*told)
            self._transaction(attempt, kind, *told)

    def _transaction(self, attempt: LiveAttempt, kind: Up, *told: Any) -> None:
        """Note what a handler's own transaction does to the lease. `ChildAttempt` is the other end."""
        if kind == Up.TRANSACTION_BEGINS:
            attempt.begin_transaction(*told)
        elif kind == Up.TRANSACTION_ENDS:
            committed, extended = told
            attempt.end_transaction(committed=committed, extended=extended)

    def _look(self, attempt: LiveAttempt, now: float) -> float:
        late = now >= attempt.deadline_at
        if late:
            if not attempt.deadline_raised:
                attempt.deadline_raised = True
                attempt.interrupt(Interruption.DEADLINE)
            self._process.send_signal(signal.SIGTERM)  # raises DeadlineExceeded in its handler
        reason = attempt.interruption
        if reason is not None and reason is not self._told:
            self._told = reason if self._say(Down.INTERRUPT, reason, attempt.time_left()) else None
        if late or not attempt.open or reason not in {None, Interruption.SHUTDOWN}:
            self._kill_at = min(self._kill_at, now + MOMENT)
        if now >= self._kill_at:
            self._kill(Raised(_error(reason, late=late)))
        if self._kill_at != FOREVER:
            return LOOK_OFTEN
        return min(LOOK, attempt.deadline_at - now)

    def _say(self, kind: Down, *told: Any) -> bool:
        try:
            os.write(self._control, pickle.dumps((kind, self._number, *told)))
        except OSError:  # it has ended, or its pipe is full
            return False
        return True

    def _kill(self, fate: Ending) -> None:
        if self._fate is None:
            self._fate = fate
            self._process.kill()

    def _end(self) -> str:
        """Wait for the end of a process that has closed its socket; how it ended."""
        self._process.kill()
        return _how(self._process.wait())


def _error(reason: Interruption | None, *, late: bool) -> BaseException:
    if reason is None or (late and reason is not Interruption.CANCEL):
        return DeadlineExceeded()
    return Interrupted(reason)


def _how(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", as Linux does when memory runs out" if -code == signal.SIGKILL and sys.platform == "linux" else ""
    return f"was killed by {name}{hint}"
