from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from mongoq import Interrupted, Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.commands import update_many
from tests.handlers import cooperate, spin


def test_a_deadline_ends_a_handler_as_a_failure(queue: Queue, events: Any) -> None:
    key = queue.new(deadline=0.2, max_retries=0).key
    queue.start(spin)
    events.wait("tasks.finished")

    task = queue.get(key)
    assert task.state is TaskState.FAILED
    assert task.last_error is not None
    assert task.last_error.type == "DeadlineExceeded"


def test_a_cancel_request_reaches_the_running_handler(queue: Queue, events: Any) -> None:
    key = queue.new().key
    queue.start(cooperate)
    events.wait("task.started")

    assert queue.cancel(key).cancel_requested
    events.wait("tasks.finished")
    assert queue.get(key).state is TaskState.CANCELLED


def test_a_lost_lease_reaches_the_handler_and_its_result_is_refused(
    make_queue: Callable[..., Queue], watch: Any, until: Callable[..., None]
) -> None:
    queue = make_queue(workers=1)
    events = watch(queue)
    key = queue.new().key
    reasons: list[str] = []

    def handler(task: Task) -> str:
        try:
            cooperate(task)
        except Interrupted as interrupted:
            reasons.append(interrupted.reason)
        return "too late"

    queue.start(handler)
    events.wait("task.started")
    # Another claimant has it now: only the token tells.
    queue._base.driver.run(_give_away(queue, key))
    events.wait("task.lease_lost")
    until(lambda: reasons, why="the handler learns it")
    assert reasons == ["lease lost"]
    assert (queue.get(key).state, queue.get(key).result) == (TaskState.RUNNING, None)


def _give_away(queue: Queue, key: str) -> Any:
    return update_many(f"{queue.namespace}.tasks", {"_id": key}, {"$set": {"hold.token": "another's"}})


def test_a_stopping_worker_lets_its_handlers_end(queue: Queue, events: Any, gate: Any) -> None:
    running, waiting = queue.new(priority=1).key, None
    handle = queue.start(gate, workers=1)
    events.wait("task.started")
    waiting = queue.new().key
    stopper = threading.Thread(target=handle.stop, args=(20,))
    stopper.start()
    assert not handle.wait(0.2)
    gate.opened.set()
    stopper.join(60)

    assert handle.stopped
    assert queue.get(running).state is TaskState.COMPLETED
    assert (queue.get(waiting).state, queue.get(waiting).charged) == (TaskState.READY, 0)


def test_what_does_not_end_within_the_grace_is_released_uncharged(queue: Queue, events: Any, gate: Any) -> None:
    keys = [queue.new().key for _ in range(2)]
    handle = queue.start(gate)
    events.wait("task.started", 2)
    handle.stop(0.3)

    assert handle.stopped
    for key in keys:
        task = queue.get(key)
        assert (task.state, task.attempts, task.charged) == (TaskState.READY, 1, 0)


def test_a_handler_may_stop_its_own_queue(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(grace=10)
    queue.new_many([{}] * 3)
    queue.run(lambda task: queue.stop(), workers=1)

    assert queue.stats()["default"].completed >= 1


def test_a_closed_queue_has_stopped_its_workers(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    handle = queue.start(lambda task: None)
    queue.close()

    assert handle.stopped


def test_a_close_stops_all_workers_together(make_queue: Callable[..., Queue], watch: Any) -> None:
    queue = make_queue(grace=10)
    events = watch(queue)
    all_told = threading.Barrier(2)
    met: list[str] = []

    def handler(task: Task) -> None:
        while not task.cancelled:
            threading.Event().wait(0.005)
        all_told.wait(5)
        met.append(task.queue)

    for name in ("one", "two"):
        queue.new(queue=name)
        queue.start(handler, queues=name, workers=1)
    events.wait("task.started", 2)
    queue.close()
    assert sorted(met) == ["one", "two"]


def test_a_stop_takes_a_timedelta(queue: Queue, events: Any, gate: Any) -> None:
    queue.new()
    handle = queue.start(gate)
    events.wait("task.started")
    handle.stop(timedelta(seconds=0.1))
    assert handle.wait(timedelta(seconds=1))


ENDED_BY_A_SIGNAL = """
import atexit, os, signal, sys
from mongoq import Queue
from pymongo.synchronous import monitor

assert callable(monitor._shutdown_executors)
monitor._shutdown_executors = lambda: print("waited", end=" ")

with Queue(sys.argv[1], namespace=sys.argv[2]) as queue:
    queue.new()
    atexit.register(print, "its own last word", end=" ")
    queue.run(lambda task: os.kill(os.getpid(), signal.SIGTERM))
"""


def test_a_program_that_a_signal_ends_does_not_wait_for_monitors_and_has_its_last_word(
    server: EmbeddedServer, queue: Queue
) -> None:
    command = [sys.executable, "-c", ENDED_BY_A_SIGNAL, server.uri, queue.namespace]
    ended = subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    assert ended.stdout == "its own last word "
    assert [task.state for task in queue.tasks()] == [TaskState.COMPLETED]


def test_a_client_is_closed_where_no_thread_can_be_started_any_more(server: EmbeddedServer, queue: Queue) -> None:
    program = "import atexit, sys; from mongoq import Queue; q = Queue(sys.argv[1]); q.time(); atexit.register(q.close)"
    command = [sys.executable, "-c", program, server.uri]
    ended = subprocess.run(command, check=True, timeout=60, stderr=subprocess.PIPE, text=True)
    assert ended.stderr == ""
