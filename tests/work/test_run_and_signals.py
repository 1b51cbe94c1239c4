"""`run_once` and `run` beside signals, and what ends them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import Queue, Task


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
    until(ended, timeout=20, why="nothing claims any more")


@pytest.mark.parametrize("how", ["enqueues", "fails"])
def test_run_once_without_a_limit_returns(make_queue: Callable[..., Queue], how: str) -> None:
    queue = make_queue(backoff=0, workers=1)
    queue.load({} for _ in range(3))
    ran: list[str] = []

    def work(task: Task) -> None:
        ran.append(task.key)
        assert len(ran) < 100
        if how == "fails":
            raise ValueError("again")
        queue.new()

    assert queue.run_once(work)
    assert len(ran) == 3


def test_run_once_does_what_is_scheduled_and_due(queue: Queue) -> None:
    queue.load({} for _ in range(2))
    queue.new(delay=3600)
    ran: list[str] = []
    assert not queue.run_once(lambda task: ran.append(task.key))
    assert len(ran) == 2
