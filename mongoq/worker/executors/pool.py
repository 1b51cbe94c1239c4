"""The children of one process executor: started, waited for, replaced, ended.

A child that dies before it can take a task, mostly because the handler's module cannot be imported there, costs
no task anything: tasks wait, it is said once, and the next one is tried after a growing pause.
"""

from __future__ import annotations

import logging
import selectors
import socket
from datetime import timedelta
from typing import Final

from mongoq.core.backoff import Exponential
from mongoq.core.clock import elapsed
from mongoq.core.verdict import Ending
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.children import Blueprint, Child

log = logging.getLogger("mongoq.worker")

LAST_MOMENT: Final = 1.0
"""Seconds for idle children to end by themselves."""
PAUSE: Final = Exponential(timedelta(milliseconds=200), factor=2, max=timedelta(seconds=10))


class ProcessPool:
    """`workers` children. Used by one thread, but for `open` and `ring`."""

    def __init__(self, blueprint: Blueprint, workers: int) -> None:
        self.children: list[Child] = []
        self._blueprint = blueprint
        self._workers = workers
        self._failures = 0
        self._start_at = 0.0
        self._rung = False

    @property
    def full(self) -> bool:
        """Whether there are as many as there should be."""
        return len(self.children) >= self._workers

    def open(self) -> None:
        """Make what is needed to wait."""
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ)

    def ring(self) -> None:
        """End the wait under way, or else the next one."""
        if not self._rung:
            self._rung = True
            try:
                self._button.send(b"\0")
            except OSError:
                log.debug("the children have ended already")

    def wait(self, timeout: float | None) -> list[Child]:
        """Wait until something arrives from a child, or somebody rings; the children with news."""
        spoke = []
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                self._bell.recv(16)
                self._rung = False
            else:
                spoke.append(key.data)
        return spoke

    def flush(self) -> None:
        """Send what is to be sent, as far as the pipes take it."""
        for child in self.children:
            child.flush()
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.pending else 0)
            if self._selector.get_key(child.socket).events != events:
                self._selector.modify(child.socket, events, child)

    def fill(self, now: float) -> None:
        """Start the children that are missing."""
        while not self.full and now >= self._start_at:
            try:
                child = Child(self._blueprint)
            except OSError as error:
                self._failed(str(error))
                return
            self.children.append(child)
            self._selector.register(child.socket, selectors.EVENT_READ, child)

    def grew_up(self, child: Child) -> None:
        """Note that a child is ready for tasks."""
        child.ready = True
        self._failures = 0

    def bury(self, child: Child) -> tuple[Ending | None, list[LiveAttempt]]:
        """Let go of a dead child; the ending of what it ran, and what it had not started."""
        self._selector.unregister(child.socket)
        self.children.remove(child)
        remains = child.bury()
        if not child.ready:
            self._failed(child.trouble or "")
        return remains

    def close(self) -> None:
        """End all of them."""
        for child in self.children:
            child.dismiss()
        last = elapsed() + LAST_MOMENT
        for child in self.children:
            child.leave(max(0.0, last - elapsed()))
        self.children.clear()
        self._selector.close()
        self._bell.close()
        self._button.close()

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._start_at = elapsed() + PAUSE.delay(self._failures).total_seconds()
        if self._failures == 1:
            log.error("a process for the handler does not start; tasks wait, it is tried again. %s", why)
