"""The program inside a child of the process executor: it runs the tasks that arrive on a socket, one at a time.

The main thread receives a task, calls the handler and sends the outcome. A second thread reads the control pipe, so a
running handler learns of a cancel request, a lost lease or a shutdown. Only the parent writes to that pipe: when it
closes, the parent has ended, and this process ends too. Nothing here talks to MongoDB.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import logging
import multiprocessing.spawn
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import IO, Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.failures import describe
from mongoq.core.host.tracebacks import let_go
from mongoq.core.judging.retrying import RetryRules
from mongoq.core.judging.verdict import Raised, Returned
from mongoq.core.signals import DeadlineExceeded
from mongoq.core.tasks.task import Task
from mongoq.worker import forks
from mongoq.worker.executors.children.ending import BROKE
from mongoq.worker.executors.children.logs import Sender
from mongoq.worker.executors.children.messages import ChildAttempt, Down, Up, received
from mongoq.worker.executors.children.outcome import NO_MEMORY, pack_error, pack_result
from mongoq.worker.executors.children.together import ChildBatch
from mongoq.worker.executors.frames import may_strike
from mongoq.worker.handlers.signature import Handler

log = logging.getLogger("mongoq.worker")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG: Final = 1


class ChildProgram:
    """Receives tasks from `source`, one end of a socket pair, and sends their outcomes back through it."""

    def __init__(self, source: IO[bytes], control: IO[bytes]) -> None:
        self._source = source
        self._control = control
        self._sending = threading.Lock()
        self._running: ChildAttempt | ChildBatch | None = None
        self._starting = threading.Lock()
        self._started = 0
        """The last task that was started or recalled."""
        for file in (source, control):
            # A process that the handler starts must not hold them open.
            os.set_inheritable(file.fileno(), False)

    def run(self) -> int:
        """Run tasks until the parent closes the socket; the exit code."""
        forks.at_fork(lambda: forks.forget(self._source.fileno(), self._control.fileno()))
        with forks.taken_over(dict.fromkeys(SIGNALS, self._signalled)):
            # The parent started this process with both blocked.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            return self._serve()

    def _serve(self) -> int:
        try:
            handler, rules, levels = _load(self._source)
        except EOFError:
            return 0
        except BaseException as error:  # noqa: BLE001 -- a user's module may raise anything at its import
            self._send(Up.BROKEN, describe(error))
            return 1
        sender = Sender(lambda told: self._send(Up.LOG, told), self._key)
        sender.install(levels)
        forks.at_fork(lambda: logging.root.removeHandler(sender))
        threading.Thread(target=self._listen, name="mongoq-control", daemon=True).start()
        try:
            if handler.lifespan is not None:
                handler.lifespan.enter()
        except BaseException as error:  # noqa: BLE001 -- as above
            self._send(Up.BROKEN, describe(error))
            return 1
        try:
            self._send(Up.READY)
            self._run_all(handler, rules)
        finally:
            if handler.lifespan is not None:
                handler.lifespan.leave()
        return 0

    def _run_all(self, handler: Handler, rules: RetryRules) -> None:
        local = handler.policies
        while (message := self._next()) is not None:
            number, deadline, *values = message
            if not self._may_start(number):
                continue
            if values[0] is None:
                self._run_batch(
                    handler, rules, ChildBatch(number, deadline, self._send, [received(*one) for one in values[1]])
                )
            else:
                task, parents = received(*values)
                own = rules.over(task.policy).over(local.get(task.name or "", {}))
                attempt = ChildAttempt(number, deadline, self._send, task.key)
                attempt.parents = parents
                self._run(handler, own, attempt, task)

    def _key(self) -> str | None:
        attempt = self._running
        return None if attempt is None else attempt.key

    def _next(self) -> tuple[Any, ...] | None:
        try:
            message: tuple[Any, ...] = pickle.load(self._source)  # noqa: S301 -- our parent's
        except (EOFError, ConnectionError):
            return None
        return message

    def _may_start(self, number: int) -> bool:
        """Whether this task was not recalled; if so, it cannot be any more."""
        with self._starting:
            recalled = number <= self._started
            self._started = max(number, self._started)
        return not recalled

    def _return_unstarted(self, last: int) -> None:
        with self._starting:
            first = self._started + 1
            self._started = max(last, self._started)
        if first <= last:
            self._send(Up.UNSTARTED, first, last)

    def _run(self, handler: Handler, rules: RetryRules, attempt: ChildAttempt, task: Task) -> None:
        object.__setattr__(task, "attempt", attempt)
        attempt.task = task
        generation = forks.generation()
        try:
            self._running = attempt
            try:
                value = contextvars.Context().run(handler, task)  # an empty one each, as in threads
            finally:
                self._running = None
                del attempt.task  # which refers to it: the collector would keep both for a while
            if forks.generation() != generation:
                forks.leave(Returned())
            packed = pack_result(value)
            del value
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is its outcome
            if forks.generation() != generation:
                forks.leave(Raised(error))
            self._send(Up.RAISED, *pack_error(attempt.effective_error(error), rules))
            let_go(error)
        else:
            self._return(packed)

    def _run_batch(self, handler: Handler, rules: RetryRules, batch: ChildBatch) -> None:
        generation = forks.generation()
        self._running = batch
        try:
            outcome = batch.perform(handler)
        finally:
            self._running = None
        if forks.generation() != generation:
            forks.leave(outcome)
        self._send(Up.TOGETHER, batch.packed(outcome, rules, handler.policies))
        batch.let_go(outcome)

    def _return(self, packed: bytes | None) -> None:
        try:
            self._send(Up.RETURNED, packed)
        except MemoryError:
            packed = None
            self._send(Up.RAISED, *pack_error(MemoryError(NO_MEMORY), RetryRules()))

    def _listen(self) -> None:
        """Pass on what the parent says about the running task, until the parent ends."""
        try:
            while True:
                self._heard(*pickle.load(self._control))  # noqa: S301 -- from the parent
        except EOFError:
            os._exit(1)
        except BaseException:
            # Most likely the handler has left no memory; without this thread it cannot be interrupted.
            log.exception("the control pipe of a child process failed")
            os._exit(1)

    def _heard(self, kind: Down, number: int, *told: Any) -> None:
        attempt = self._running
        if kind == Down.RECALL:
            self._return_unstarted(number)
        elif attempt is not None and attempt.number == number:
            attempt.interrupt(*told)

    def _signalled(self, _number: int, frame: FrameType | None) -> None:
        """Raise at the deadline. Ignore a signal to the whole process group: the parent obeys it.

        This is a function and not SIG_IGN because the processes that a handler starts would inherit SIG_IGN.
        """
        attempt = self._running
        late = attempt is not None and not attempt.deadline_raised and elapsed() >= attempt.deadline_at
        if attempt is not None and late and may_strike(frame):  # else the parent's next signal, or its kill, will do
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
    """Be a child. One that breaks ends at once: threads and files of its handler's could keep it for ever."""
    try:
        code = ChildProgram(source, open(control, "rb")).run()  # noqa: SIM115 -- to close it would wait for its reader
    except BaseException:  # noqa: BLE001 -- most likely no memory is left
        with contextlib.suppress(BaseException):
            traceback.print_exc()
        os._exit(BROKE)
    sys.exit(code)


def _load(source: IO[bytes]) -> tuple[Handler, RetryRules, Mapping[str, int]]:
    """Receive the surroundings and the handler, and import it; as `multiprocessing` does for its own children."""
    surroundings, parent, levels, pickled = pickle.load(source)  # noqa: S301 -- from the parent
    _die_with(parent)
    # Neither is the handler's doing: a folder that is gone, and a parent that ignores SIGCHLD, which is inherited.
    if not os.path.isdir(surroundings.get("dir", "")):  # noqa: PTH112 -- a Path costs a child 3 ms
        surroundings.pop("dir", None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    multiprocessing.spawn.prepare(surroundings)
    handler, rules = pickle.loads(pickled)  # noqa: S301 -- from the parent
    return handler, rules, levels


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent dies: a handler in a call that holds the GIL sees no pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise EOFError
