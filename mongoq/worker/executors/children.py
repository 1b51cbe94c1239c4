"""A child of the processes executor, as its parent sees it: a process, a pipe, and the attempts it holds.

Nothing here waits. The pipe is a socket pair; what the child does not take yet is kept until it does.
"""

from __future__ import annotations

import contextlib
import multiprocessing.spawn
import os
import pickle
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption
from mongoq.core.task import Task
from mongoq.core.verdict import Described, Ending, Raised
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.executors.child import LENGTH, Down
from mongoq.worker.handlers.signature import Handler

MOMENT: Final = 0.5
"""Seconds between the notice to stop and the kill."""
SLOW: Final = 0.05
"""Seconds after which a handler is too slow for others to wait behind it."""
BOOT: Final = (
    "import pickle, sys; pipe = open(int(sys.argv[1]), 'rb'); sys.path[:] = pickle.load(pipe); "
    "from mongoq.worker.executors.child import main; main(pipe)"
)
CHUNK: Final = 2**16
# All that a task has but its live side, which stays here.
VALUES: Final = attrgetter(*[field.name for field in fields(Task) if field.name != "attempt"])


class Blueprint:
    """What every child of one executor is made from. RuntimeError in a main module without a guard."""

    def __init__(self, handler: Handler) -> None:
        pickled = pickle.dumps(handler, pickle.HIGHEST_PROTOCOL)
        surroundings = multiprocessing.spawn.get_preparation_data("mongoq-handler")
        surroundings["authkey"] = bytes(surroundings["authkey"])  # its own class refuses to be pickled
        if b"__main__" not in pickled:
            # The handler does not live in the main module: to import that one would only cost time.
            surroundings.pop("init_main_from_name", None)
            surroundings.pop("init_main_from_path", None)
        self.greeting = pickle.dumps(surroundings["sys_path"]) + pickle.dumps((surroundings, os.getpid(), pickled))
        line = multiprocessing.spawn.get_command_line()
        self.command = [*line[: line.index("-c")], "-c", BOOT]


class Child:
    """One child. Used by one thread only, which has SIGTERM and SIGINT blocked, and the child inherits that."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        try:
            with theirs:
                end = theirs.fileno()
                self.process = subprocess.Popen(
                    [*blueprint.command, str(end)], pass_fds=[end], stdin=subprocess.DEVNULL
                )
        except BaseException:
            self.socket.close()
            raise
        self.ready = False
        self.closed = False
        """Whether it has closed its end of the pipe."""
        self.trouble: str | None = None
        """Why it cannot import the handler."""
        self.held: dict[int, LiveAttempt] = {}
        """What it was given, by number, in order: the first one runs."""
        self.recalled = False
        """Whether it was asked for what waits behind the first one."""
        self.began = 0.0
        self._to_pause: int | None = None
        self._told: Interruption | None = None
        self._kill_at = FOREVER
        self._killed: tuple[LiveAttempt, Ending] | None = None
        self._in = bytearray()
        self._out = bytearray(blueprint.greeting)

    @property
    def head(self) -> LiveAttempt | None:
        """The attempt that it runs."""
        return next(iter(self.held.values()), None)

    @property
    def free(self) -> bool:
        """Whether it may be given tasks."""
        return self.ready and not self.recalled and self._kill_at == FOREVER and self._killed is None

    @property
    def pending(self) -> bool:
        """Whether something waits for room in the pipe."""
        return bool(self._out)

    def give(self, number: int, attempt: LiveAttempt) -> None:
        """Send a task; what cannot be pickled raises, and is not sent."""
        deadline = attempt.policy.deadline
        seconds = None if deadline is None else deadline.total_seconds()
        self._say(Down.TASK, number, seconds, VALUES(attempt.task))
        self.held[number] = attempt

    def pause(self, number: int) -> None:
        """Leave the lease of that task alone, and tell the child when that is so.

        Where a renewal is under way, which may take seconds, that is left to a later look: others are served meanwhile.
        """
        self._to_pause = number
        attempt = self.held.get(number)
        if attempt is not None and not attempt.renewing:
            self._to_pause = None
            self._say(Down.PAUSED, number, attempt.pause())

    def renewed(self, number: int, until: float) -> None:
        """Note until when the lease of that task lasts."""
        attempt = self.held.get(number)
        if attempt is not None:
            attempt.renewed(until)

    def resume(self, number: int, committed: bool) -> None:
        """Note how the transaction of that task's handler ended."""
        self._to_pause = None
        attempt = self.held.get(number)
        if attempt is not None:
            attempt.resume(committed=committed)

    def took_up(self) -> None:
        """Note that the first of those it holds starts now."""
        self.began = elapsed()

    def ended(self, number: int) -> LiveAttempt:
        """Note that a handler has ended: what it was told or threatened with is over. The attempt."""
        self._begin_afresh()
        return self.held.pop(number)

    def gave_back(self, numbers: list[int]) -> list[LiveAttempt]:
        """Note what it gives back; the first one too, where it had not come to that yet. The attempts."""
        attempts = [self.held.pop(number) for number in numbers]
        if not self.held:
            self._begin_afresh()
        return attempts

    def _begin_afresh(self) -> None:
        self.recalled = False
        self._to_pause = None
        self._told = None
        self._kill_at = FOREVER

    def recall(self) -> None:
        """Call back what waits behind the first one."""
        if len(self.held) > 1 and not self.recalled:
            self.recalled = True
            self._say(Down.RECALL)

    def look(self, now: float) -> None:
        """Stop what must not go on, and call back what waits behind a slow handler."""
        head = self.head
        if head is None or self._killed is not None:
            return
        if self._to_pause is not None:
            self.pause(self._to_pause)
        if now - self.began > SLOW:
            self.recall()
        late = now >= head.deadline_at
        if late:
            head.interrupt(Interruption.DEADLINE)
            self.process.send_signal(signal.SIGTERM)  # raises DeadlineExceeded in its handler
        reason = head.interruption
        if reason is not None and reason is not self._told:
            self._told = reason
            self._say(Down.INTERRUPT, next(iter(self.held)), reason, head.time_left())
        if self._kill_at == FOREVER and (late or not head.open or reason not in {None, Interruption.SHUTDOWN}):
            self._kill_at = now + MOMENT
        if now >= self._kill_at:
            self._killed = head, Raised(_error(reason, late=late))
            self.process.kill()

    def flush(self) -> None:
        """Send as much as the pipe takes."""
        # A dead child is noticed where its answers are read.
        with contextlib.suppress(OSError):
            while self._out:
                del self._out[: self.socket.send(self._out)]

    def hear(self) -> list[tuple[Any, ...]]:
        """What has arrived."""
        try:
            while data := self.socket.recv(CHUNK):
                self._in += data
                if len(data) < CHUNK:
                    break
            else:
                self.closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        messages = []
        at = 0
        while len(self._in) >= at + LENGTH.size:
            start = at + LENGTH.size
            (length,) = LENGTH.unpack_from(self._in, at)
            if len(self._in) < start + length:
                break
            at = start + length
            messages.append(pickle.loads(memoryview(self._in)[start:at]))  # noqa: S301 -- from our own child
        del self._in[:at]
        return messages

    def bury(self) -> tuple[Ending | None, list[LiveAttempt]]:
        """Wait for the end of a process that is dead or has closed its pipe.

        The ending of what it ran, and what it had not started.
        """
        self.process.kill()
        code = self.process.wait()
        self.socket.close()
        left = list(self.held.values())
        self.trouble = self.trouble or f"it {_told(code)}"
        if self._killed is None:
            crash = Described("WorkerCrashed", f"the process that ran it {_told(code)}", "")
            return Raised(crash), left
        # It may have ended what it was killed for in the last moment, and gone on to the next.
        victim, ending = self._killed
        return (ending if left and left[0] is victim else None), left

    def dismiss(self) -> None:
        """Let it end: by itself where it is idle, at once where it is not."""
        if self.ready and not self.held:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
        else:
            self.process.kill()

    def leave(self, timeout: float) -> None:
        """Wait for a dismissed child, and kill it if that takes too long."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.socket.close()

    def _say(self, *message: Any) -> None:
        self._out += pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def _error(reason: Interruption | None, *, late: bool) -> BaseException:
    if reason is None or (late and reason is not Interruption.CANCEL):
        return DeadlineExceeded()
    return Interrupted(reason)


def _told(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", as Linux does when memory runs out" if -code == signal.SIGKILL and sys.platform == "linux" else ""
    return f"was killed by {name}{hint}"
