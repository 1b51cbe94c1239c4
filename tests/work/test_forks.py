"""Handlers that fork: the fork is no worker, obeys signals, and holds nothing of the worker's."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mongoq import Queue


def test_a_fork_can_be_terminated(make_queue: Callable[..., Queue], run: Callable[..., None]) -> None:
    queue = make_queue()
    keys = [queue.new().key for _ in range(3)]
    run(queue, "forks_and_terminates")
    assert [queue.get(key).result for key in keys] == [-signal.SIGTERM] * 3


@pytest.mark.parametrize("how, code", [("exit", 7), ("raise", 1), ("return", 0), ("stop", -signal.SIGTERM)])
def test_the_end_of_a_fork_is_not_that_of_its_task(
    make_queue: Callable[..., Queue], run: Callable[..., None], how: str, code: int
) -> None:
    queue = make_queue(max_retries=0)
    keys = [queue.new({"how": how}).key for _ in range(3)]
    run(queue, "forks_and_ends")
    assert [queue.get(key).result for key in keys] == [code] * 3


def test_a_fork_of_a_coroutine_does_not_come_back_to_the_loop(queue: Queue, importable: SimpleNamespace) -> None:
    key = queue.new().key
    queue.run(importable.forks_and_awaits_on_a_loop, burst=True)
    assert queue.get(key).result == 1


def test_a_fork_holds_no_pipe_of_a_child(queue: Queue, importable: SimpleNamespace, tmp_path: Path) -> None:
    key = queue.new({"folder": str(tmp_path)}, max_retries=0).key
    queue.run(importable.forks_and_stays, executor="processes", burst=True)
    error = queue.get(key).last_error
    assert error is not None
    assert "exited with code 3" in error.message


def test_a_handle_in_a_fork_says_that_it_has_stopped(queue: Queue, importable: SimpleNamespace) -> None:
    handle = queue.start(lambda task: None)
    try:
        assert importable.in_a_fork(lambda: handle.wait(30) and handle.stopped) == 0
        assert importable.in_a_fork(handle.stop) == 0
        assert not handle.stopped
    finally:
        handle.stop()
