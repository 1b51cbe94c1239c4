"""What one task leaves behind in its process, and what the next one finds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue, TaskState


@pytest.mark.parametrize("options", [{}, {"deadline": 60}], ids=["plain", "with a deadline"])
def test_each_task_runs_in_a_context_of_its_own(
    make_queue: Callable[..., Queue], run: Callable[..., None], options: dict[str, Any]
) -> None:
    queue = make_queue(**options)
    keys = [queue.new().key for _ in range(3)]
    run(queue, "leaves_a_context")
    assert [queue.get(key).result for key in keys] == [[28, "nothing"]] * 3


def test_a_retry_finds_nothing_of_the_attempt_before(
    make_queue: Callable[..., Queue], run: Callable[..., None]
) -> None:
    queue = make_queue(backoff=0)
    key = queue.new(max_retries=1).key
    run(queue, "leaves_a_context_and_fails_once")
    assert queue.get(key).result == [28, "nothing"]


@pytest.mark.parametrize("how", ["plain", "cause", "group", "signal"])
@pytest.mark.parametrize("options", [{}, {"deadline": 60}], ids=["", "with a deadline"])
def test_a_failure_holds_no_memory(
    make_queue: Callable[..., Queue], run: Callable[..., None], how: str, options: dict[str, Any]
) -> None:
    queue = make_queue(max_retries=0, **options)
    for _ in range(5):
        queue.new({"how": how}, priority=1)
    counted = queue.new({"how": "count"})
    run(queue, "holds_and_fails")
    assert queue.get(counted.key).result == 0


@pytest.mark.parametrize(
    "kinds, expected",
    [
        (["snooze"], (TaskState.SCHEDULED, "default", 0)),
        (["retry", "snooze"], (TaskState.SCHEDULED, "default", 1)),
        (["snooze", "fail", "retry"], (TaskState.FAILED, "default", 1)),
        (["error", "cancel"], (TaskState.CANCELLED, "default", 1)),
        (["error", "move"], (TaskState.READY, "mail/err", 0)),
    ],
)
def test_signals_in_a_group_steer_the_task(
    make_queue: Callable[..., Queue], run: Callable[..., None], kinds: list[str], expected: tuple[Any, ...]
) -> None:
    queue = make_queue()
    key = queue.new({"kinds": kinds}).key
    run(queue, "groups")
    task = queue.get(key)
    assert (task.state, task.queue, task.charged) == expected


def test_an_interruption_in_a_group_charges_nothing(
    make_queue: Callable[..., Queue], run: Callable[..., None], until: Callable[..., None], tmp_path: Path
) -> None:
    queue = make_queue(grace=10)
    key = queue.new({"folder": str(tmp_path)}).key

    def stop() -> None:
        until((tmp_path / key).exists, why="the handler runs")
        queue.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    run(queue, "waits_to_be_cancelled", burst=False)
    stopper.join()
    task = queue.get(key)
    assert (task.state, task.charged, task.last_error) == (TaskState.READY, 0, None)


@pytest.mark.parametrize("odd", ["OddError", "OddCauseError", "OddGroupError", "ExceptionGroup", "Fail"])
def test_an_error_that_cannot_be_read_is_one_of_its_own_attempt_only(
    make_queue: Callable[..., Queue], run: Callable[..., None], odd: str
) -> None:
    """Its own attributes raise, or its groups are nested deeper than Python calls: no child dies of it."""
    queue = make_queue(max_retries=0)
    key = queue.new({"odd": odd}).key
    run(queue, "raises_what_is_odd")
    task = queue.get(key)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert task.last_error is not None
    assert task.last_error.type == odd
    assert task.note == ("why" if odd == "Fail" else None)
