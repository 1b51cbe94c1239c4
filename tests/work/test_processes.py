from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue, Task, TaskState
from mongoq.storage.commands import update_many

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


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module whose functions children can import: they get this process's `sys.path`."""
    monkeypatch.syspath_prepend(HERE)
    yield importlib.import_module("process_handlers")
    sys.modules.pop("process_handlers")


def children() -> set[int]:
    """The processes that this one has started, zombies included."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found.update(map(int, file.read_text().split()))
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def nothing_left_behind(until: Callable[..., None]) -> Iterator[None]:
    before, files = children(), open_files()
    yield
    assert children() <= before
    # A client's monitor that was just connecting lets go a moment after the client was closed.
    until(lambda: open_files() <= files + 1, why="no file is left open")


def run(queue: Queue, handler: Callable[..., Any], **options: Any) -> None:
    queue.run(handler, executor="processes", burst=True, **options)


def error_of(task: Task) -> Any:
    assert task.last_error is not None
    return task.last_error


def test_a_handler_runs_in_another_process_and_its_return_is_the_result(queue: Queue, handlers: Any) -> None:
    key = queue.new({"user": 42}, payload=b"\1").key
    run(queue, handlers.returns)

    result = queue.get(key).result
    assert result.pop("pid") != os.getpid()
    assert result == {"user": 42, "payload": b"\1", "attempts": 1}


def test_a_handler_of_two_arguments_gets_its_live_attempt(queue: Queue, handlers: Any) -> None:
    free, tight = queue.new().key, queue.new(deadline=50).key
    run(queue, handlers.live)

    assert queue.get(free).result == [False, None, None]
    assert 40 < queue.get(tight).result[2] <= 50


def test_an_error_is_told_with_the_frames_and_causes_of_the_child(queue: Queue, handlers: Any) -> None:
    key = queue.new(max_retries=0).key
    run(queue, handlers.chained)

    task = queue.get(key)
    assert task.state is TaskState.FAILED
    error = error_of(task)
    assert (error.type, error.message) == ("ValueError", "outer")
    assert "in chained" in error.traceback
    assert "KeyError: 'inner'" in error.traceback
    assert "direct cause" in error.traceback


@pytest.mark.parametrize(
    "name, kind, message",
    [
        ("unpicklable_error", "Unpicklable", "one two"),
        ("unpicklable_result", "Fail", "result: lock (cannot pickle"),
        ("result_lost_on_its_way", "Fail", "result: a result (not here)"),
        ("exits", "SystemExit", "enough"),
    ],
)
def test_what_cannot_cross_the_pipe_is_told_in_words(
    queue: Queue, handlers: Any, name: str, kind: str, message: str
) -> None:
    key = queue.new(max_retries=0).key
    run(queue, getattr(handlers, name))

    error = error_of(queue.get(key))
    assert error.type == kind
    assert error.message.startswith(message)


@pytest.mark.parametrize("kind", ["retry", "snooze", "fail", "stop", "cancel", "move"])
def test_signals_steer_a_task_as_they_do_in_threads(queue: Queue, handlers: Any, kind: str) -> None:
    seen = []
    for executor in ("threads", "processes"):
        key = queue.new({"signal": kind}, max_retries=1).key
        queue.run(handlers.signals, executor=executor, burst=True)
        task = queue.get(key)
        error = task.last_error and (task.last_error.type, task.last_error.message)
        seen.append((task.state, task.queue, task.note, task.charged, task.retries, error))

    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["sleeps", "backtracks", "ignores"])
def test_a_deadline_stops_any_handler(queue: Queue, events: Any, handlers: Any, tmp_path: Path, name: str) -> None:
    stuck = queue.new({"folder": str(tmp_path)}, deadline=0.3, max_retries=0, priority=1).key
    began = time.monotonic()
    run(queue, getattr(handlers, name), workers=1)

    assert time.monotonic() - began < 20
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


def test_a_child_works_on_after_what_waited_behind_a_slow_handler_was_called_back(
    make_queue: Callable[..., Queue], handlers: Any
) -> None:
    queue = make_queue(workers=1)
    for _ in range(3):
        queue.new_many([{}] * 50)
        queue.new({"seconds": 0.3})
    run(queue, handlers.now_and_then_slow)

    assert len({task.result for task in queue.tasks(state="completed", limit=None)}) == 1
    assert queue.stats()["default"].completed == 153


def _after_start(queue: Queue, handler: Callable[..., Any]) -> str:
    queue.start(handler, executor="processes", workers=1)
    return queue.new().key


def test_a_lost_lease_kills_the_handler_and_nothing_else(
    queue: Queue, events: Any, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path), "stuck": True}).key
    queue.start(handlers.quick_or_stuck, executor="processes", workers=1)
    until((tmp_path / key).exists, timeout=20, why="the handler runs")
    queue._base.driver.run(update_many(f"{queue.namespace}.tasks", {"_id": key}, {"$set": {"token": "another's"}}))
    events.wait("task.lease_lost")
    after = queue.new({"folder": str(tmp_path)}).key
    until(lambda: queue.get(after).finished, timeout=20, why="the next child works")

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


def test_two_children_share_ten_slow_tasks_five_and_five(make_queue: Callable[..., Queue], handlers: Any) -> None:
    queue = make_queue(workers=2)
    queue.new_many([{}] * 10)
    run(queue, handlers.one_second)

    pids = Counter(task.result for task in queue.tasks())
    assert sorted(pids.values()) == [5, 5]


def test_what_waits_behind_a_stuck_handler_runs_in_another_child(
    queue: Queue, handlers: Any, tmp_path: Path, finished: Callable[[Queue, str], Task]
) -> None:
    tags = {"folder": str(tmp_path)}
    queue.new_many([tags] * 100, priority=2)
    stuck = queue.new({**tags, "stuck": True}, priority=1, deadline=5, max_retries=0).key
    after = [task.key for task in queue.new_many([tags] * 100)]
    queue.start(handlers.quick_or_stuck, executor="processes")
    for key in after:
        assert finished(queue, key).attempts == 1

    assert not queue.get(stuck).finished
    assert finished(queue, stuck).state is TaskState.FAILED
    assert all(len((tmp_path / key).read_text().splitlines()) == 1 for key in after)


def test_a_stopping_worker_releases_what_does_not_end_and_kills_its_process(
    queue: Queue, events: Any, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(handlers.backtracks, executor="processes")
    until((tmp_path / key).exists, timeout=20, why="the handler runs")
    began = time.monotonic()
    handle.stop(0.3)

    assert time.monotonic() - began < 5
    assert (queue.get(key).state, queue.get(key).charged) == (TaskState.READY, 0)


def test_a_stop_gives_nothing_back_that_a_child_then_runs(
    queue: Queue, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    queue.new_many([{"folder": str(tmp_path)}] * 4_000)
    handle = queue.start(handlers.brief, executor="processes")
    until(lambda: len(list(tmp_path.iterdir())) > 300, timeout=30, why="each child holds several tasks")
    handle.stop(10)

    left = {task.key for task in queue.tasks(state="ready", limit=None)}
    assert left, "it was stopped in the middle"
    assert not left & {path.name for path in tmp_path.iterdir()}


def test_a_shutdown_reaches_the_handler_which_gives_its_task_back(
    queue: Queue, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(handlers.cooperates, executor="processes")
    until((tmp_path / key).exists, timeout=20, why="the handler runs")
    handle.stop(30)

    assert (tmp_path / key).read_text().split()[-1] == "shutdown"
    assert (queue.get(key).state, queue.get(key).charged) == (TaskState.READY, 0)


def test_children_leave_signals_to_their_parent(
    queue: Queue, handlers: Any, tmp_path: Path, until: Callable[..., None]
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    handle = queue.start(handlers.cooperates, executor="processes", workers=1)
    until((tmp_path / key).exists, timeout=20, why="the handler runs")
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(int((tmp_path / key).read_text()), number)
    assert not handle.wait(0.3)
    assert queue.get(key).state is TaskState.RUNNING
    handle.stop()


def test_children_that_cannot_start_burn_no_task(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, until: Callable[..., None]
) -> None:
    module = tmp_path / "broken_in_children.py"
    module.write_text(
        f"import os\nif os.getpid() != {os.getpid()}: raise RuntimeError('not here')\ndef run(task): pass"
    )
    monkeypatch.syspath_prepend(tmp_path)
    broken = importlib.import_module("broken_in_children")

    key = queue.new().key
    handle = queue.start(broken.run, executor="processes")
    until(lambda: "not here" in caplog.text, timeout=20, why="it is said")
    time.sleep(1.5)
    assert caplog.text.count("does not start") == 1
    module.write_text("def run(task): pass")
    until(lambda: queue.get(key).finished, timeout=20, why="it works again")
    assert queue.get(key).attempts == 1
    handle.stop()
    assert [record.levelno for record in caplog.records if "does not start" in record.message] == [logging.ERROR]


def test_the_end_of_the_parent_ends_its_children(
    make_queue: Callable[..., Queue], tmp_path: Path, until: Callable[..., None]
) -> None:
    queue = make_queue()
    keys = [queue.new({"folder": str(tmp_path)}).key for _ in range(2)]
    script = tmp_path / "main.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(HERE), _uri(queue), queue.namespace])
    try:
        until(lambda: all((tmp_path / key).exists() and (tmp_path / key).read_text() for key in keys), timeout=30)
    finally:
        parent.kill()
        parent.wait()
    pids = [int((tmp_path / key).read_text()) for key in keys]

    assert parent.pid not in pids
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout=10, why="the children have ended")


def _uri(queue: Queue) -> str:
    host, port = queue._base.driver.connection.database.client.address or ("", 0)
    return f"mongodb://{host}:{port}/{queue._base.driver.connection.database.name}?directConnection=true"


def nested() -> Callable[[Task], None]:
    def handler(task: Task) -> None:
        """Not at the top level."""

    return handler


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def handle(self, task: Task) -> None:
        """Bound to what cannot be pickled."""


async def coroutine(task: Task) -> None:
    """For asyncio."""


@pytest.mark.parametrize("handler", [lambda task: None, nested(), Locked().handle, coroutine])
def test_what_a_child_cannot_import_is_refused(queue: Queue, handler: Any) -> None:
    allowed = "asyncio" if handler is coroutine else "a function at the top level of a module"
    with pytest.raises(ConfigurationError, match=allowed):
        queue.run(handler, executor="processes", burst=True)


def test_the_executor_goes_on_after_it_gave_back_what_waited(
    make_queue: Callable[..., Queue], handlers: ModuleType, until: Callable[..., None]
) -> None:
    queue = make_queue(workers=1)
    handle = queue.start(handlers.returns, executor="processes")
    queue.new_many([{}] * 20)
    until(lambda: queue.size() == 0, timeout=30, why="the first tasks end")
    # What the engine does when a long handler keeps others waiting.
    handle._engine._dispatcher.release_waiting()
    queue.new_many([{}] * 20)
    until(lambda: queue.size() == 0, timeout=30, why="the later tasks end too")
