"""A worker whose process gets no more threads or descriptors: nothing is lost, nothing hangs, and one line says why."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue, TaskState
from mongoq.core.host.limits import NO_DESCRIPTORS, NO_MORE

SCRIPT = Path(__file__).with_name("starved_worker.py")
OFTEN = [("threads", "processes"), ("descriptors", "threads")]
HANDLERS = {"threads": "plain", "asyncio": "awaits", "processes": "plain"}
REASONS = {"threads": NO_MORE, "descriptors": NO_DESCRIPTORS}
STARVING = [
    pytest.param(what, executor, marks=[pytest.mark.long] if (what, executor) not in OFTEN else [])
    for what in REASONS
    for executor in HANDLERS
]
"""Each takes 5 s."""
Until = Callable[..., None]


class Starved:
    """The process of such a worker."""

    def __init__(self, uri: str, queue: Queue, log: Path, *how: str) -> None:
        self._log = log
        self.process: subprocess.Popen[str]
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), uri, queue.namespace, *how],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip

    def tell(self, word: str) -> None:
        """Tell it something, and wait until it has done it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.hear() == word, self.log()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)

    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def starved(uri: str, queue: Queue, tmp_path: Path) -> Iterator[Callable[..., Starved]]:
    begun: list[Starved] = []

    def begin(*how: str) -> Starved:
        begun.append(Starved(uri, queue, tmp_path / f"log-{len(begun)}", *how))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout):
            assert stream is not None
            stream.close()


def completed(queue: Queue) -> int:
    return queue.count(state=TaskState.COMPLETED)


@pytest.mark.parametrize("what, executor", STARVING)
def test_a_starved_worker_goes_on_and_ends(queue: Queue, starved: Any, until: Until, executor: str, what: str) -> None:
    queue.new_many([{}] * 5)
    worker = starved(executor, HANDLERS[executor], "2")
    assert worker.hear() == "started", worker.log()
    until(lambda: completed(queue) == 5, why="it works")
    worker.tell(what)
    queue.new_many([{}] * 20)
    if what == "descriptors":
        until(lambda: NO_DESCRIPTORS in worker.log(), why="it says what is lacking")
        worker.tell("feed")
    until(lambda: completed(queue) == 25, why="it works on")
    if what == "threads":
        assert "Traceback" not in worker.log()
        worker.tell("feed")
    worker.tell("stop")
    assert worker.end() == 0, worker.log()
    assert worker.log().count(REASONS[what]) <= 1
    assert [task.attempts for task in queue.tasks(limit=None)] == [1] * 25


@pytest.mark.parametrize("what, executor", STARVING)
def test_a_worker_stops_while_it_starves(queue: Queue, starved: Any, until: Until, executor: str, what: str) -> None:
    """Without a thread for its last words, and without a descriptor for what glibc opens when a thread ends."""
    queue.new_many([{}] * 5)
    worker = starved(executor, HANDLERS[executor], "2")
    assert worker.hear() == "started", worker.log()
    until(lambda: completed(queue) == 5, why="it works")
    worker.tell(what)
    worker.tell("stop")
    assert worker.end() == 0, worker.log()
    assert "Traceback" not in worker.log()


def test_a_call_in_a_thread_waits_for_one(queue: Queue, starved: Any, until: Until) -> None:
    """With `max_retries=0` the task would have failed for good."""
    worker = starved("asyncio", "calls", "2")
    assert worker.hear() == "started", worker.log()
    worker.tell("threads")
    queue.new_many([{}] * 5)
    until(lambda: NO_MORE in worker.log(), why="it says what is lacking")
    worker.tell("feed")
    until(lambda: completed(queue) == 5, why="it works on")
    assert worker.log().count(NO_MORE) == 1


def test_a_signal_gives_handlers_their_grace_although_there_is_no_thread(
    queue: Queue, starved: Any, until: Until
) -> None:
    key = queue.new({"starve": "threads", "seconds": 1.5}).key
    worker = starved("run", "plain", "1")
    until(lambda: queue.get(key).state is TaskState.RUNNING, why="it runs")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0, worker.log()
    assert queue.get(key).state is TaskState.COMPLETED


def test_a_worker_starts_with_as_many_handlers_as_there_are_threads(queue: Queue, starved: Any, until: Until) -> None:
    """Of 60 handlers, some thirty: those that are lacking begin when there may be more."""
    queue.new_many([{}] * 5)
    worker = starved("threads", "plain", "60", "40")
    assert worker.hear() == "started", worker.log()
    until(lambda: completed(queue) == 5, why="it works")
    until(lambda: NO_MORE in worker.log(), why="it says what is lacking")
    assert worker.log().count(NO_MORE) == 1
    tasks = Path(f"/proc/{worker.process.pid}/task")
    assert len(list(tasks.iterdir())) < 60
    worker.tell("feed")
    until(lambda: len(list(tasks.iterdir())) > 60, why="all handlers have begun")


def test_a_worker_without_a_thread_for_its_services_is_refused(queue: Queue, starved: Any) -> None:
    worker = starved("threads", "plain", "2", "3")
    assert worker.hear() == ""
    assert worker.end() == 1
    assert f"StorageUnavailable: {NO_MORE}" in worker.log()
