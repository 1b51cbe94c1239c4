from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq import DeadlineExceeded, Interrupted, Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.commands import update_many
from mongoq.worker.executors.threads import ThreadExecutor


def spin(task: Task) -> None:
    """Run Python code for ever, as a handler stuck in a loop does."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


def cooperate(task: Task) -> None:
    """Stop as soon as it is asked to."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        task.raise_if_cancelled()
        threading.Event().wait(0.005)


@pytest.mark.parametrize("handler", [spin, cooperate])
def test_a_deadline_ends_a_handler_as_a_failure(queue: Queue, events: Any, handler: Callable[[Task], None]) -> None:
    key = queue.new(deadline=0.2, max_retries=0).key
    queue.start(handler)
    events.wait("tasks.finished")

    task = queue.get(key)
    assert task.state is TaskState.FAILED
    assert task.last_error is not None
    assert task.last_error.type == "DeadlineExceeded"


def test_a_deadline_passes_except_exception_but_can_be_caught_by_name(queue: Queue) -> None:
    key = queue.new(deadline=0.2).key

    def handler(task: Task) -> str:
        try:
            try:
                spin(task)
            except Exception:  # noqa: BLE001 -- what a careless handler does
                return "swallowed"
        except DeadlineExceeded:
            return f"tidied up, {task.time_left():.0f} s left"
        return "never stopped"

    queue.run(handler, burst=True)
    assert queue.get(key).result == "tidied up, 0 s left"


def test_a_deadline_strikes_only_the_attempt_it_belongs_to(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=1)
    queue.new_many([{}] * 300)
    tight = [queue.new(deadline=0.005, max_retries=0, priority=1).key for _ in range(60)]

    def handler(task: Task) -> None:
        limit = time.monotonic() + (0.005 if task.priority else 0.0)
        while time.monotonic() < limit:
            pass

    queue.run(handler, burst=True)
    stats = queue.stats()["default"]
    assert stats.completed + stats.failed == 360
    failed = {task.key for task in queue.tasks(state="failed")}
    assert failed <= set(tight), "a deadline struck a task that has none"


def test_time_left_counts_down_to_the_deadline(queue: Queue) -> None:
    key = queue.new(deadline=60).key
    queue.run(lambda task: task.time_left(), burst=True)

    assert 50 < queue.get(key).result <= 60


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
    return update_many(f"{queue.namespace}.tasks", {"_id": key}, {"$set": {"token": "another's"}})


def test_a_stopping_worker_lets_its_handlers_end(queue: Queue, events: Any, gate: Any) -> None:
    running, waiting = queue.new(priority=1).key, None
    handle = queue.start(gate, workers=1)
    events.wait("task.started")
    waiting = queue.new().key
    stopper = threading.Thread(target=handle.stop, args=(20,))
    stopper.start()
    assert not handle.wait(0.2)
    gate.opened.set()
    stopper.join(10)

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


def test_a_shutdown_reaches_the_handler_which_gives_its_task_back(queue: Queue, events: Any) -> None:
    key = queue.new().key
    handle = queue.start(cooperate)
    events.wait("task.started")
    began = time.monotonic()
    handle.stop(30)

    assert time.monotonic() - began < 15, "the handler was not told before the end of the grace"
    assert (queue.get(key).state, queue.get(key).charged) == (TaskState.READY, 0)


def test_a_second_stop_shortens_the_first(queue: Queue, events: Any, gate: Any) -> None:
    queue.new()
    handle = queue.start(gate)
    events.wait("task.started")
    patient = threading.Thread(target=handle.stop, args=(60,))
    patient.start()
    assert not handle.wait(0.2)
    handle.stop(0)
    patient.join(5)

    assert handle.stopped
    assert not patient.is_alive()


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


def test_a_stop_waits_for_a_worker_that_is_just_starting(
    make_queue: Callable[..., Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, start = make_queue(), ThreadExecutor.start
    closer = threading.Thread(target=queue.close)

    def slow(executor: ThreadExecutor) -> None:
        closer.start()
        closer.join(0.5)
        start(executor)

    monkeypatch.setattr(ThreadExecutor, "start", slow)
    handle = queue.start(lambda task: None)
    closer.join(20)
    assert handle.stopped


def test_cancelled_turns_true_at_the_deadline_by_itself(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=1)
    keys = [queue.new(deadline=0.1).key for _ in range(5)]

    def handler(task: Task) -> float:
        began = time.monotonic()
        try:
            while not task.cancelled:
                threading.Event().wait(0.001)
            return time.monotonic() - began
        except DeadlineExceeded:
            return time.monotonic() - began

    queue.run(handler, burst=True)
    seconds = [queue.get(key).result for key in keys]
    assert max(seconds) < 0.6, "a deadline was noticed by the watch's longest pause only"


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
