"""How a worker stops: its real loops and threads, and no server."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from mongoq.core.errors import QueueClosed, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.lifecycle import Event
from mongoq.core.signals import Interruption
from mongoq.core.tasks.task import Task
from mongoq.storage.context import Context
from mongoq.storage.operations.finish import Finished
from mongoq.worker.config import WorkerConfig
from mongoq.worker.engine import Engine
from mongoq.worker.fleet.watcher import Streams
from mongoq.worker.handle import _next, _signals_to
from mongoq.worker.handlers.signature import Handler

WHILE = 20.0
"""Seconds after which a test fails that waits for what never comes."""


class NoStream:
    """A change stream that ends at once."""

    open = False

    def begin(self) -> None: ...
    def watch(self, queues: Sequence[str], *, for_all: bool) -> None: ...
    def wait(self) -> None: ...
    def next(self) -> None: ...
    def end(self) -> None: ...


SILENT = Streams(NoStream(), lambda _: NoStream())


class Running:
    """A worker of two handlers that has begun with two tasks; they wait at a gate, or until they are told to stop."""

    def __init__(self, context: Context, script: Any, tasks: Any, *, cooperative: bool) -> None:
        self.script = script
        script.always("claim_many", tasks)
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.reasons: list[Any] = []
        self.done: list[bool] = []
        self._cooperative = cooperative
        config = WorkerConfig(Handler(self._handle, takes_attempt=False), "threads", ("default",), workers=2)
        telemetry = Telemetry()
        self.engine = Engine(context, script, config, SILENT, telemetry=telemetry, done=lambda: self.done.append(True))
        self.engine.start(lambda: None)
        for _ in range(2):
            assert self.begun.acquire(timeout=WHILE)

    def _handle(self, task: Task) -> None:
        self.begun.release()
        while not self.gate.wait(0.002):
            if task.cancelled and self._cooperative:
                self.reasons.append(task.interruption)
                task.raise_if_cancelled()

    @property
    def events(self) -> list[Event]:
        return [verdict.event for _, verdict in self.script.written]


@pytest.fixture
def running(context: Context, script: Any, backlog: Any) -> Iterator[Callable[..., Running]]:
    """Give `running(cooperative=...)`: a worker in the middle of two tasks, of four."""
    made: list[Running] = []

    def make(*, cooperative: bool = False) -> Running:
        made.append(Running(context, script, backlog(4), cooperative=cooperative))
        return made[-1]

    yield make
    for one in made:
        one.gate.set()
        one.engine.stop(0)


def stopping(running: Running, grace: float) -> threading.Thread:
    thread = threading.Thread(target=running.engine.stop, args=(grace,))
    thread.start()
    return thread


def test_a_stopping_worker_lets_its_handlers_end_and_claims_no_more(running: Callable[..., Running]) -> None:
    worker = running()
    thread = stopping(worker, WHILE)
    assert not worker.engine.stopped.wait(0.05)
    worker.gate.set()
    thread.join(WHILE)
    assert worker.engine.stopped.is_set()
    assert worker.events == [Event.COMPLETE] * 2
    assert worker.script.names[-1] == "leave", "its heartbeat goes last"
    assert worker.done == [True]


def test_what_does_not_end_within_the_grace_is_released_uncharged(running: Callable[..., Running]) -> None:
    worker = running()
    worker.engine.stop(0.05)
    assert {(verdict.event, verdict.charged) for _, verdict in worker.script.written} == {(Event.RELEASE, False)}
    assert len(worker.script.written) == 2


def test_a_shutdown_reaches_the_handlers_which_give_their_tasks_back(running: Callable[..., Running]) -> None:
    worker = running(cooperative=True)
    worker.engine.stop(WHILE)
    assert worker.reasons == [Interruption.SHUTDOWN] * 2
    assert worker.events == [Event.RELEASE] * 2


def test_a_second_stop_shortens_the_first(running: Callable[..., Running]) -> None:
    worker = running()
    patient = stopping(worker, 3_600)
    assert not worker.engine.stopped.wait(0.05)
    worker.engine.stop(0)
    patient.join(WHILE)
    assert not patient.is_alive()
    assert worker.events == [Event.RELEASE] * 2
    assert worker.done == [True], "once"


def test_a_stopping_worker_does_not_wait_for_a_server_that_is_gone(running: Callable[..., Running]) -> None:
    worker = running()
    worker.script.always("finish", StorageUnavailable("gone"))
    worker.engine.stop(0.05)
    assert worker.engine.stopped.is_set()
    assert "leave" not in worker.script.names, "its leases run out, and then its heartbeat does"


def test_endings_that_are_blocked_are_tried_again_until_the_end(running: Callable[..., Running]) -> None:
    worker = running()
    worker.script.always("finish", lambda arguments: Finished([], list(arguments["endings"])))
    worker.engine.stop(0.3)
    assert len(worker.script.of("finish")) > 2
    assert len(worker.engine.ledger) == 2


def test_a_worker_whose_client_was_closed_ends_without_a_word(running: Callable[..., Running]) -> None:
    worker = running()
    for name in ("renew", "look", "beat", "promote", "rescue", "expire", "claim_many", "leave"):
        worker.script.always(name, QueueClosed("the client is closed"))
    worker.engine.wake()
    worker.gate.set()
    assert worker.engine.stopped.wait(WHILE)
    assert "leave" not in worker.script.names


def test_a_stop_waits_for_a_worker_that_is_just_starting(context: Context, script: Any) -> None:
    config = WorkerConfig(Handler(lambda _: None, takes_attempt=False), "threads", ("default",), workers=1)
    engine = Engine(context, script, config, SILENT, telemetry=Telemetry(), done=lambda: None)
    stops: list[threading.Thread] = []

    def made() -> None:
        stops.append(threading.Thread(target=engine.stop, args=(0,)))
        stops[0].start()
        assert not engine.stopped.wait(0.05)

    engine.start(made)
    stops[0].join(WHILE)
    assert engine.stopped.is_set()


def test_a_signal_that_did_not_wake_the_main_thread_is_seen() -> None:
    """One that another thread gets does not: Python's handler runs when the main thread looks."""
    inbox: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    with _signals_to(inbox):
        waits = threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))
        waits.start()
        assert _next(inbox) == signal.SIGTERM
        waits.join()
