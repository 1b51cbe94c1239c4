from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer

HERE = Path(__file__).parent
PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from mongoq import Queue

def work(task):
    import process_handlers
    process_handlers.backtracks(task)

if __name__ == "__main__":
    Queue(sys.argv[2], namespace=sys.argv[3], grace=0).run(work, executor="processes", workers=2, burst=True)
"""
pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def run(queue: Queue, handler: Callable[..., Any], **options: Any) -> None:
    queue.run(handler, executor="processes", burst=True, **options)


def error_of(task: Task) -> Any:
    assert task.last_error is not None
    return task.last_error


@pytest.mark.parametrize("name", ["sleeps", "backtracks", "ignores"])
def test_a_deadline_stops_any_handler(queue: Queue, events: Any, handlers: Any, tmp_path: Path, name: str) -> None:
    stuck = queue.new({"folder": str(tmp_path)}, deadline=0.3, max_retries=0, priority=1).key
    began = time.monotonic()
    run(queue, getattr(handlers, name), workers=1)

    assert time.monotonic() - began < 50
    task = queue.get(stuck)
    assert (task.state, error_of(task).type) == (TaskState.FAILED, "DeadlineExceeded")


def test_a_deadline_can_be_caught_even_in_a_sleep(queue: Queue, handlers: Any) -> None:
    key = queue.new(deadline=0.3).key
    run(queue, handlers.tidies)

    assert queue.get(key).result == "deadline, 0 s left"


@pytest.mark.parametrize("name", ["cooperates", "backtracks"])
def test_a_cancel_request_ends_the_handler(queue: Queue, events: Any, handlers: Any, tmp_path: Path, name: str) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(getattr(handlers, name), executor="processes")
    events.wait("task.started")
    queue.cancel(key)
    events.wait("tasks.finished")

    assert queue.get(key).state is TaskState.CANCELLED
    handle.stop()
    if name == "cooperates":
        assert (tmp_path / key).read_text().split()[-1] == "cancel"


def test_a_child_whose_handler_obeyed_works_on(
    queue: Queue, events: Any, handlers: Any, tmp_path: Path, finished: Callable[[Queue, str], Task]
) -> None:
    first = finished(queue, _after_start(queue, handlers.cooperates_or_quick)).result
    stuck = queue.new({"folder": str(tmp_path), "stuck": True}).key
    events.wait("task.started", 2)
    queue.cancel(stuck)
    assert finished(queue, stuck).state is TaskState.CANCELLED
    assert finished(queue, queue.new().key).result == first


def _after_start(queue: Queue, handler: Callable[..., Any]) -> str:
    queue.start(handler, executor="processes", workers=1)
    return queue.new().key


def test_a_lost_lease_kills_the_handler_and_nothing_else(
    *, server: EmbeddedServer, queue: Queue, events: Any, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path), "stuck": True}).key
    queue.start(handlers.quick_or_stuck, executor="processes", workers=1)
    until((tmp_path / key).exists, why="the handler runs")
    client: MongoClient[Any]
    with MongoClient(server.uri) as client:
        client["mongoq"][f"{queue.namespace}.tasks"].update_one({"_id": key}, {"$set": {"hold.token": "another's"}})
    events.wait("task.lease_lost")
    after = queue.new({"folder": str(tmp_path)}).key
    until(lambda: queue.get(after).finished, why="the next child works")

    assert queue.get(key).state is TaskState.RUNNING


@pytest.mark.parametrize(
    "how, kind, message",
    [
        ("exit", "WorkerCrashed", "the process that ran it exited with code 3"),
        ("segfault", "WorkerCrashed", "the process that ran it was killed by SIGSEGV"),
        ("kill", "WorkerCrashed", "the process that ran it was killed by SIGKILL"),
        ("memory", "MemoryError", ""),
    ],
)
def test_a_crash_fails_the_one_attempt_that_ran(queue: Queue, handlers: Any, how: str, kind: str, message: str) -> None:
    queue.new_many([{} for _ in range(200)])
    key = queue.new({"how": how}, max_retries=0).key
    queue.new_many([{} for _ in range(200)])
    run(queue, handlers.dies)

    task = queue.get(key)
    assert (task.state, error_of(task).type) == (TaskState.FAILED, kind)
    assert error_of(task).message.startswith(message)
    others = [other for other in queue.tasks(limit=None) if other.key != key]
    # Where the next child takes more than a second to start, what waits is given back meanwhile, uncharged.
    assert {(other.state, other.charged, other.retries) for other in others} == {(TaskState.COMPLETED, 1, 0)}


def test_a_stopping_worker_releases_what_does_not_end_and_kills_its_process(
    queue: Queue, events: Any, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(handlers.backtracks, executor="processes")
    until((tmp_path / key).exists, why="the handler runs")
    began = time.monotonic()
    handle.stop(0.3)

    assert time.monotonic() - began < 30
    assert (queue.get(key).state, queue.get(key).charged) == (TaskState.READY, 0)


def test_a_stop_gives_nothing_back_that_a_child_then_runs(
    queue: Queue, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    queue.new_many([{"folder": str(tmp_path)}] * 4_000)
    handle = queue.start(handlers.brief, executor="processes")
    until(lambda: len(list(tmp_path.iterdir())) > 300, why="each child holds several tasks")
    handle.stop(10)

    left = {task.key for task in queue.tasks(state="ready", limit=None)}
    assert left, "it was stopped in the middle"
    assert not left & {path.name for path in tmp_path.iterdir()}


def test_a_shutdown_reaches_the_handler_which_gives_its_task_back(
    queue: Queue, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(handlers.cooperates, executor="processes")
    until((tmp_path / key).exists, why="the handler runs")
    handle.stop(30)

    assert (tmp_path / key).read_text().split()[-1] == "shutdown"
    assert (queue.get(key).state, queue.get(key).charged) == (TaskState.READY, 0)


def test_children_leave_signals_to_their_parent(
    queue: Queue, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(handlers.cooperates, executor="processes", workers=1)
    said = tmp_path / key
    until(lambda: said.exists() and said.read_text(), why="the handler runs, and has written its pid")
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(int(said.read_text()), number)
    assert not handle.wait(0.3)
    assert queue.get(key).state is TaskState.RUNNING
    handle.stop()


def test_the_end_of_the_parent_ends_its_children(
    queue: Queue, server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    keys = [queue.new({"folder": str(tmp_path)}).key for _ in range(2)]
    script = tmp_path / "main.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(HERE), server.uri, queue.namespace])
    try:
        until(lambda: all((tmp_path / key).exists() for key in keys), why="both run")
    finally:
        parent.kill()
        parent.wait()
    pids = [int((tmp_path / key).read_text()) for key in keys]

    assert parent.pid not in pids
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), why="the children have ended")


UNGUARDED = """
import sys
from mongoq import Queue

def work(task):
    pass

Queue(sys.argv[1], namespace=sys.argv[2], grace=0).run(work, executor="processes", workers=1)
"""


def test_children_of_a_main_module_without_a_guard_start_no_children(
    queue: Queue, server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    key, script, log = queue.new().key, tmp_path / "main.py", tmp_path / "log"
    script.write_text(UNGUARDED)
    with log.open("wb") as stderr:
        parent = subprocess.Popen([sys.executable, str(script), server.uri, queue.namespace], stderr=stderr)
    try:
        until(lambda: "below `if __name__ == '__main__':`" in log.read_text(), why="it is said what to do")
    finally:
        parent.kill()
        parent.wait()
    assert not queue.get(key).finished


OPTIONS = """
import sys
sys.path.insert(0, sys.argv[1])
import process_handlers
from mongoq import Queue

Queue(sys.argv[2], namespace=sys.argv[3]).run(process_handlers.options, executor="processes", workers=1, burst=True)
"""


def test_children_get_the_options_of_the_interpreter(queue: Queue, server: EmbeddedServer) -> None:
    key = queue.new().key
    command = [sys.executable, "-O", "-Werror::UserWarning", "-Xutf8=1", "-c", OPTIONS]
    subprocess.run([*command, str(HERE), server.uri, queue.namespace], check=True, timeout=60)
    assert queue.get(key).result == [1, True, "1"]


def test_a_child_that_dies_while_it_is_idle_costs_no_task_anything(
    queue: Queue, handlers: Any, finished: Callable[[Queue, str], Task], until: Callable[..., None]
) -> None:
    queue.start(handlers.returns, executor="processes", workers=1)
    pid = finished(queue, queue.new().key).result["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _has_ended(pid), why="the child is dead before the next task comes")
    task = finished(queue, queue.new(max_retries=0).key)
    assert (task.state, task.charged, task.result["pid"] == pid) == (TaskState.COMPLETED, 1, False)


def _has_ended(pid: int) -> bool:
    """Whether its parent can know: the first thread is a zombie before the others have ended."""
    place = Path(f"/proc/{pid}")
    if not place.exists():
        return True
    threads = len(list((place / "task").iterdir()))
    return threads == 1 and (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
