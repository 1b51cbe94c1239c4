"""A child of the process executor, as its parent sees it.

One thread owns a child: it starts it, gives it tasks and waits for their outcomes on a blocking socket. The child runs
one task at a time. More may wait in the socket meanwhile, and can be recalled until they start: without them two
children with 1 ms of work per task did 0.84 of the rate (2 busy cores).

Other threads may call `look`, which interrupts and kills, and `stop`. Their messages go through a second pipe, which
never blocks: a task causes a few messages of 60 bytes, and a pipe holds 64 KB.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from mongoq.core.clock import elapsed
from mongoq.core.failures import Described
from mongoq.core.judging.verdict import Outcome, Raised, Released
from mongoq.core.signals import Interruption
from mongoq.worker import forks
from mongoq.worker.attempt import FOREVER
from mongoq.worker.executors.batch import Batch, Work, notify_each
from mongoq.worker.executors.children.blueprint import Blueprint
from mongoq.worker.executors.children.ending import error_at, has_company, kill_group, wait_for_end
from mongoq.worker.executors.children.logs import received
from mongoq.worker.executors.children.messages import GONE, Down, Up, heard, sent
from mongoq.worker.executors.children.outcome import Answer
from mongoq.worker.executors.children.timing import LOOK, LOOK_FOR_SLOW, LOOK_OFTEN, MOMENT, SLOW
from mongoq.worker.executors.children.together import ENDINGS
from mongoq.worker.log_lines import lines


class ChildProcess:
    """A child. Start it in a thread that has SIGTERM and SIGINT blocked, which it inherits, and that outlives it.

    Linux kills the child when that thread ends. `look_soon` asks for a `look` at once.
    """

    def __init__(self, blueprint: Blueprint, look_soon: Callable[[], None]) -> None:
        self.ready = False
        """Whether it has imported the handler."""
        self.weigh_at = 0.0  # when its memory is looked at next
        self._greeting = blueprint.greeting
        self._look_soon = look_soon
        self._lock = threading.RLock()
        """Guards all below."""
        self.given = 0  # how many tasks: the number of the last one
        self._held: deque[tuple[int, Work]] = deque()
        """The tasks that it was given, by number; it runs the first."""
        self._began, self._recalled = 0.0, False
        self._told: Interruption | None = None
        self._kill_at = FOREVER
        self._stopped = False
        self._victim: Work | None = None
        self._fate: Outcome | None = None  # of the victim, where it was killed
        self._process, self._socket, self._control = blueprint.spawn()
        self._source = self._socket.makefile("rb")
        self._no_more_forks = forks.at_fork(lambda: forks.forget(self._socket.fileno(), self._control))

    @property
    def pid(self) -> int:
        """Its number, which is also that of its process group."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended."""
        return self._process.returncode is not None or self._fate is not None

    @property
    def held(self) -> int:
        """How many tasks it holds: one that runs, and those that wait behind it."""
        return len(self._held)

    @property
    def running(self) -> Work | None:
        """The attempt that it runs."""
        return self._held[0][1] if self._held else None

    def alive(self) -> bool:
        """Whether it may be given a task. One that died while it was idle must not be: the task would be charged."""
        with self._lock:  # while another thread polls, `poll` says that it lives
            return self._fate is None and self._process.poll() is None

    def greet(self) -> str | None:
        """Send the handler and wait until it is imported; the reason where it cannot be."""
        try:
            self._socket.sendall(self._greeting)
            kind, *told = pickle.load(self._source)  # noqa: S301 -- from our own child
            while kind == Up.LOG:  # of its lifespan
                lines.add(received(told[0]))
                kind, *told = pickle.load(self._source)  # noqa: S301 -- as above
        except GONE:
            return f"it {self._end()}"
        self.ready = kind == Up.READY
        return None if self.ready else f"{told[0].kind}: {told[0].message}\n{told[0].frames}"

    def give(self, attempt: Work) -> Outcome | None:
        """Send a task; its outcome where that cannot be done."""
        number, deadline = self.given + 1, attempt.policy.deadline
        try:
            seconds = deadline and deadline.total_seconds()
            message = pickle.dumps((number, seconds, *sent(attempt)), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001 -- whatever a task's values raise when they are pickled
            return Raised(error)
        with self._lock:
            if self._stopped:
                return Released()
            self.given = number
            self._held.append((number, attempt))
            if len(self._held) == 1:
                self._begin(attempt)
        with contextlib.suppress(OSError):  # `outcome` finds out how it ended
            self._socket.sendall(message)
        return None

    def outcome(self) -> Answer:
        """Wait for the outcome of the task that runs, or for tasks that the child returns."""
        running = self.running
        numbers, ending = self._await()
        with self._lock:
            attempts = [attempt for number, attempt in self._held if number in numbers]
            self._held = deque((number, attempt) for number, attempt in self._held if number not in numbers)
            seconds = elapsed() - self._began
            self._recalled = False
            for attempt in attempts:
                attempt.on_interrupt = None
            following = self.running if self.running is not running else None
            if following is not None:
                self._begin(following)
            interrupted = running is not None and running.interruption not in {None, Interruption.SHUTDOWN}
            if ending is not None and interrupted and has_company(self._process):
                self._kill(Released())  # what the handler has started ends with it
        return Answer(attempts, ending, seconds, following)

    def recall(self) -> None:
        """Have it return the tasks that wait behind the first."""
        with self._lock:
            if len(self._held) > 1 and not self._recalled:
                self._recalled = self._say(Down.RECALL, number=self.given)

    def look(self, now: float) -> float:
        """Tell the handler to stop where it should, and kill it where it does not; the seconds until the next look."""
        with self._lock:
            if self._process.poll() is not None:
                # A process that the handler has started may hold the socket open, and the owner would wait for it.
                if self._process.returncode != 0:
                    kill_group(self._process)
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                return LOOK
            return self._look(self._held[0][1], now) if self._held and self._fate is None else LOOK

    def stop(self) -> None:
        """Kill it where it is not idle; give it no more tasks."""
        with self._lock:
            self._stopped = True
            if self._held or not self.ready:
                self._kill(Released())

    def end(self) -> None:
        """Let it exit by itself, or kill it where it does not; returns when it has ended."""
        if self.ready and self._fate is None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        self._end()
        self._no_more_forks()
        self._source.close()
        self._socket.close()
        os.close(self._control)

    def _begin(self, attempt: Work) -> None:
        """Note that an attempt starts now."""
        attempt.start()
        notify_each(attempt, self._look_soon)
        self._began = elapsed()
        self._told = None
        self._kill_at = FOREVER
        if attempt.deadline_at != FOREVER:
            self._look_soon()

    def _await(self) -> tuple[range, Outcome | None]:
        """The numbers of the tasks that came back, and how they ended; None where they were not started."""
        number, attempt = self._held[0]
        this = range(number, number + 1)
        try:
            while True:
                kind, *told = pickle.load(self._source)  # noqa: S301 -- from our own child
                if (unpack := ENDINGS.get(kind)) is not None:
                    return this, unpack(*told)
                if kind == Up.UNSTARTED:
                    return range(told[0], told[1] + 1), None
                if kind == Up.LOG:
                    lines.add(received(told[0]))
                    continue
                heard(attempt, kind, *told)
        except Exception as error:  # noqa: BLE001 -- after any other error nobody knows what it runs: it is killed as well
            how = self._end()
            with self._lock:
                crash = Described("WorkerCrashed", f"the process that ran it {how}", "")
                self._kill(Raised(crash if isinstance(error, GONE) else error))
            # It may have ended the task that it was killed for in the last moment.
            return (this, self._fate) if attempt is self._victim else (range(number, self.given + 1), None)

    def _look(self, attempt: Work, now: float) -> float:
        late = now >= attempt.deadline_at
        if late:
            if not attempt.deadline_raised:
                attempt.deadline_raised = True
                attempt.interrupt(Interruption.DEADLINE)
            self._process.send_signal(signal.SIGTERM)  # raises DeadlineExceeded in its handler
        reason = attempt.interruption
        for news in attempt.news() if isinstance(attempt, Batch) else ():
            self._say(Down.INTERRUPT, *news)
        if reason is not None and reason is not self._told:
            self._told = reason if self._say(Down.INTERRUPT, reason, attempt.time_left()) else None
        if late or not attempt.open or reason not in {None, Interruption.SHUTDOWN}:
            self._kill_at = min(self._kill_at, now + MOMENT)
        if now >= self._kill_at:
            self._kill(Raised(error_at(reason, late=late)))
        if now - self._began > SLOW:
            self.recall()
        longest = LOOK_FOR_SLOW if len(self._held) > 1 else LOOK
        return LOOK_OFTEN if self._kill_at != FOREVER else min(longest, attempt.deadline_at - now)

    def _say(self, kind: Down, *told: Any, number: int | None = None) -> bool:
        try:
            os.write(self._control, pickle.dumps((kind, number or self._held[0][0], *told)))
        except OSError:  # it has ended, or its pipe is full
            return False
        return True

    def _kill(self, fate: Outcome) -> None:
        if self._fate is None:
            self._fate, self._victim = fate, self.running
            kill_group(self._process)

    def _end(self) -> str:
        """Wait for the end of a process that has closed its socket; how it ended."""
        with self._lock:
            killed = self._fate is not None
        return wait_for_end(self._process, killed=killed)
