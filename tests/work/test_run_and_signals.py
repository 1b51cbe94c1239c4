"""`run_once` and `run` beside signals, and what ends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongoq import Move, NewTask, Queue, Snooze, Task

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def handled() -> Iterator[Callable[[int, Any], None]]:
    """Give `handled(number, handler)`: a signal handler of the caller's, for this test."""
    before: dict[int, Any] = {}

    def set_one(number: int, handler: Any) -> None:
        before.setdefault(number, signal.signal(number, handler))

    yield set_one
    for number, handler in before.items():
        signal.signal(number, handler)


def kill_this_process(number: int) -> Callable[[Task], None]:
    return lambda _: os.kill(os.getpid(), number)


def test_a_loop_over_run_once_ends_at_sigterm(queue: Queue, handled: Callable[[int, Any], None]) -> None:
    handled(signal.SIGTERM, signal.SIG_DFL)
    queue.load({} for _ in range(20))

    def loop() -> None:
        while queue.run_once(kill_this_process(signal.SIGTERM), limit=1):
            pass

    with pytest.raises(SystemExit) as caught:
        loop()
    assert caught.value.code == 128 + signal.SIGTERM
    assert queue.size() == 19


def test_a_loop_over_run_once_ends_at_ctrl_c(queue: Queue, handled: Callable[[int, Any], None]) -> None:
    handled(signal.SIGINT, signal.default_int_handler)
    queue.load({} for _ in range(5))
    with pytest.raises(KeyboardInterrupt):
        queue.run_once(kill_this_process(signal.SIGINT), limit=1)
    assert queue.size() == 4


def test_the_callers_own_handler_of_a_signal_is_called_after_run_once(
    queue: Queue, handled: Callable[[int, Any], None]
) -> None:
    came: list[int] = []
    handled(signal.SIGTERM, lambda number, _: came.append(number))
    queue.load({} for _ in range(5))
    assert queue.run_once(kill_this_process(signal.SIGTERM), limit=1)
    assert came == [signal.SIGTERM]


def test_a_signal_that_is_ignored_is_ignored_after_run_once(queue: Queue, handled: Callable[[int, Any], None]) -> None:
    handled(signal.SIGTERM, signal.SIG_IGN)
    queue.load({} for _ in range(5))
    assert queue.run_once(kill_this_process(signal.SIGTERM), limit=1)


def test_a_run_that_another_signals_handler_leaves_claims_no_more(
    queue: Queue, handled: Callable[[int, Any], None], until: Callable[..., None]
) -> None:
    def raise_it(_number: int, _frame: Any) -> None:
        raise TimeoutError("enough")

    handled(signal.SIGUSR1, raise_it)
    queue.new()
    with pytest.raises(TimeoutError, match="enough"):
        queue.run(kill_this_process(signal.SIGUSR1))
    ended = lambda: all(thread.name != "mongoq-fetcher" for thread in threading.enumerate())  # noqa: E731
    until(ended, why="nothing claims any more")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("executor", ["threads", "asyncio"])
@pytest.mark.parametrize("how", ["enqueues", "enqueues the past", "fails", "snoozes", "moves", "moves round"])
def test_run_once_without_a_limit_runs_what_was_due_and_returns(
    make_queue: Callable[..., Queue], how: str, executor: str, many: bool
) -> None:
    queue = make_queue(backoff=0, workers=2, max_retries=None)
    queues = ["default", "other", *(f"q{number}" for number in range(150 if many else 0))]
    due = [queue.new(queue=queues[number % 2]).key for number in range(4)]
    ran: list[str] = []

    def work(task: Task) -> NewTask | None:
        ran.append(task.key)
        assert len(ran) < 100
        match how:
            case "fails":
                raise ValueError("again")
            case "snoozes":
                raise Snooze(0)
            case "moves":
                raise Move("other")
            case "moves round":
                raise Move("other" if task.queue == "default" else "default")
            case "enqueues":
                queue.new(priority=9)
                return NewTask(priority=9)
        return NewTask(run_at=LONG_AGO, priority=9)

    async def work_on_a_loop(task: Task) -> NewTask | None:
        return work(task)

    handler = work_on_a_loop if executor == "asyncio" else work
    assert queue.run_once(handler, queues=queues, executor=executor)
    assert sorted(ran) == sorted(due)


def test_run_once_leaves_what_falls_due_while_it_runs(queue: Queue, until: Callable[..., None]) -> None:
    queue.new({"n": 1})
    queue.new({"n": 2}, delay=0.3, priority=9)
    ran: list[int] = []

    def work(task: Task) -> None:
        ran.append(task.tags["n"])
        until(
            lambda: queue.try_claim("none") or queue.count(state="ready") or len(ran) > 1, timeout=30, why="it is due"
        )

    assert queue.run_once(work, workers=1)
    assert ran == [1]
    assert not queue.run_once(work, workers=1)
    assert ran == [1, 2]


def test_run_once_takes_what_a_vanished_worker_left(
    make_queue: Callable[..., Queue], until: Callable[..., None]
) -> None:
    queue = make_queue(lease=1)
    queue.new()
    left = queue.try_claim()
    assert left is not None
    until(
        lambda: queue.time() - (left.started_at or LONG_AGO) > timedelta(seconds=2.1),
        timeout=30,
        why="its lease has run out",
    )
    ran: list[str] = []
    assert not queue.run_once(lambda task: ran.append(task.key))
    assert ran == [left.key]


def test_run_once_returns_while_tasks_of_others_fall_due_without_end(queue: Queue) -> None:
    queue.new()
    over = threading.Event()

    def produce() -> None:
        while not over.is_set():
            queue.new(queue="elsewhere", delay=0.001)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        assert not queue.run_once(lambda _: None)
    finally:
        over.set()
        thread.join()


def test_run_once_does_what_is_scheduled_and_due(queue: Queue) -> None:
    queue.load({} for _ in range(2))
    queue.new(delay=3600)
    ran: list[str] = []
    assert not queue.run_once(lambda task: ran.append(task.key))
    assert len(ran) == 2
