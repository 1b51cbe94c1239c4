"""What one task leaves behind in its process, and what the next one finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import Queue


@pytest.mark.parametrize("options", [{}, {"deadline": 60}], ids=["plain", "with a deadline"])
def test_each_task_runs_in_a_context_of_its_own(
    make_queue: Callable[..., Queue], run: Callable[..., None], options: dict[str, Any]
) -> None:
    queue = make_queue(**options)
    keys = [queue.new().key for _ in range(3)]
    run(queue, "leaves_a_context")
    assert [queue.get(key).result for key in keys] == [[28, "nothing"]] * 3


def test_a_retry_finds_nothing_of_the_attempt_before(make_queue: Callable[..., Queue], run: Callable[..., None]) -> None:
    queue = make_queue(backoff=0)
    key = queue.new(max_retries=1).key
    run(queue, "leaves_a_context_and_fails_once")
    assert queue.get(key).result == [28, "nothing"]
