from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue, Task, TaskState

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


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


@pytest.mark.parametrize(
    "name, text",
    [
        ("unpicklable_result", "<unlocked _thread.lock object"),
        ("result_lost_on_its_way", "a result (not here)"),
    ],
)
def test_a_result_that_cannot_cross_the_pipe_is_kept_as_text(queue: Queue, handlers: Any, name: str, text: str) -> None:
    key = queue.new(max_retries=0).key
    run(queue, getattr(handlers, name))

    task = queue.get(key)
    assert task.state is TaskState.COMPLETED
    assert task.result.startswith(text)


@pytest.mark.parametrize("kind", ["retry", "snooze", "fail", "own", "cancel", "move"])
def test_signals_steer_a_task_as_they_do_in_threads(queue: Queue, handlers: Any, kind: str) -> None:
    seen = []
    for executor in ("threads", "processes"):
        key = queue.new({"signal": kind}, max_retries=1).key
        queue.run(handlers.signals, executor=executor, burst=True)
        task = queue.get(key)
        error = task.last_error and (task.last_error.type, task.last_error.message)
        seen.append((task.state, task.queue, task.note, task.charged, task.retries, error))

    assert seen[0] == seen[1]


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


def test_two_children_share_ten_slow_tasks_five_and_five(
    make_queue: Callable[..., Queue], handlers: Any, tmp_path: Path
) -> None:
    queue = make_queue(workers=2)
    queue.new_many([{"folder": str(tmp_path)}] * 10, max_retries=0)
    run(queue, handlers.in_step)

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
    until(lambda: "not here" in caplog.text, why="it is said")
    time.sleep(1.5)
    assert caplog.text.count("does not start") == 1
    module.write_text("def run(task): pass")
    until(lambda: queue.get(key).finished, why="it works again")
    assert queue.get(key).attempts == 1
    handle.stop()
    assert [record.levelno for record in caplog.records if "does not start" in record.message] == [logging.ERROR]


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


def test_the_executor_goes_on_after_a_long_handler_kept_others_waiting(
    make_queue: Callable[..., Queue], handlers: Any
) -> None:
    queue = make_queue(workers=1)
    queue.new_many([{}] * 50, priority=2)
    queue.new({"seconds": 2.5}, priority=1)
    queue.new_many([{}] * 50)
    run(queue, handlers.now_and_then_slow)

    tasks = queue.tasks(limit=None)
    assert {(task.state, task.charged) for task in tasks} == {(TaskState.COMPLETED, 1)}
    assert any(task.uncharged for task in tasks), "what had waited for a second was given back"
