"""What a handler returns or writes takes effect together with the completion of its task, in every executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import DependencyError, Done, LeaseLost, Modification, NewTask, Queue, TaskState

MakeQueue = Callable[..., Queue]


def states(queue: Queue) -> dict[str, str]:
    return {task.key: task.state.value for task in queue.tasks()}


@pytest.mark.parametrize("wanted", ["list", "modification", "one", "tuple"])
def test_what_a_handler_returns_follows_its_completion(queue: Queue, run: Any, wanted: str) -> None:
    queue.new({"wanted": wanted}, key="a")
    run(queue, "follows")
    assert states(queue) == {"a": "completed", "next": "completed"}
    assert queue.get("a").result is None


def test_a_result_that_cannot_be_stored_completes_the_task_and_is_kept_as_text(
    queue: Queue, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    queue.new({"wanted": "unstorable"}, key="a")
    run(queue, "follows")
    task = queue.get("a")
    assert (task.state, task.attempts, task.errors) == (TaskState.COMPLETED, 1, ())
    assert "lock object" in task.result
    assert task.note is not None
    assert task.note.startswith("the result is kept as text: result: ")
    assert "is not a value that BSON can carry" in task.note
    assert "task a of default is completed; its result is kept as text" in caplog.text


def test_a_result_that_is_too_large_completes_the_task_and_is_kept_as_text(make_queue: MakeQueue) -> None:
    queue = make_queue(max_task_bytes=8_000)
    queue.new(key="a")
    queue.run(lambda _: ["ß" * 9_000], burst=True)
    task = queue.get("a")
    assert (task.state, task.result[:4], len(task.result)) == (TaskState.COMPLETED, "['ßß", 2_000)
    assert "at most 8,000 bytes" in (task.note or "")


def test_done_gives_a_result_and_what_follows_it(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "done"}, key="a")
    run(queue, "follows")
    assert states(queue) == {"a": "completed", "next": "completed"}
    assert queue.get("a").result == {"sum": 7}


def test_what_follows_a_result_that_cannot_be_stored_is_enqueued(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "done with a lock"}, key="a")
    run(queue, "follows")
    assert states(queue) == {"a": "completed", "next": "completed"}
    assert "lock object" in queue.get("a").result


def test_a_result_with_a_change_that_gives_the_task_up_is_refused(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "done and passed on"}, key="a")
    run(queue, "follows")
    task = queue.get("a")
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert "has no place for a result" in (task.note or "")


def test_a_result_with_a_refused_change_is_a_failed_attempt(make_queue: MakeQueue) -> None:
    queue = make_queue(max_retries=0)
    queue.new(key="taken", queue="other")
    queue.new(key="a")
    queue.run(lambda _: Done(7, then=NewTask(key="taken")), burst=True)
    task = queue.get("a")
    assert (task.state, task.result) == (TaskState.FAILED, None)


def test_a_result_that_is_not_kept_needs_not_be_storable(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "unstorable"}, key="a", keep_completed=0)
    run(queue, "follows")
    assert states(queue) == {}


def test_a_refused_change_is_a_failed_attempt(make_queue: MakeQueue, run: Any) -> None:
    queue = make_queue(max_retries=1, backoff=0, workers=1)
    queue.new(key="taken", queue="other")
    queue.new({"wanted": "collision"}, key="a")
    run(queue, "follows")
    task = queue.get("a")
    assert (task.state, task.attempts, len(task.errors)) == (TaskState.FAILED, 2, 2)
    assert task.last_error is not None
    assert (task.last_error.type, "insert 'taken'" in task.last_error.message) == ("DependencyError", True)


def test_a_refused_change_may_end_the_worker(queue: Queue) -> None:
    queue.new(key="taken", queue="other")
    queue.new(key="a")
    with pytest.raises(DependencyError, match="insert 'taken'"):
        queue.run(lambda _: [NewTask(key="taken")], burst=True, on_dependency_error="stop")
    assert queue.get("a").state is TaskState.SCHEDULED, "its attempt has failed, as by default"


def test_a_handler_may_pass_its_own_task_on(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "pass on"}, key="a")
    run(queue, "follows")
    task = queue.get("a")
    assert (task.state, task.queue, task.moved_from, task.charged) == (TaskState.READY, "later", "default", 0)


def test_a_handler_that_depends_on_its_own_task_says_nothing_new(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "change and depend"}, key="a")
    run(queue, "follows")
    assert states(queue) == {"a": "completed", "next": "ready"}


@pytest.mark.parametrize("wanted", ["delete", "delete what was read"])
def test_a_handler_may_delete_its_own_task(queue: Queue, run: Any, wanted: str) -> None:
    queue.new({"wanted": wanted}, key="a")
    run(queue, "follows")
    assert states(queue) == {}


def test_what_can_never_be_stored_fails_the_task_at_once(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "too many"}, key="a")
    run(queue, "follows")
    task = queue.get("a")
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert "at most 1,000 tasks" in (task.note or "")


def test_a_handle_tells_the_refusal_that_ended_its_worker(queue: Queue) -> None:
    queue.new(key="taken", queue="other")
    queue.new()
    handle = queue.start(lambda _: [NewTask(key="taken")], on_dependency_error="stop")
    assert handle.wait(60)
    assert isinstance(handle.error, DependencyError)


def test_a_completion_by_hand_may_bring_a_change(queue: Queue) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    with pytest.raises(DependencyError):
        queue.complete(task, [NewTask(key="a")])
    assert queue.get("a").state is TaskState.RUNNING
    queue.complete(task, Done("sent", then=Modification(insert=[NewTask(key="b")])))
    assert states(queue) == {"a": "completed", "b": "ready"}
    assert queue.get("a").result == "sent"


def test_one_value_that_follows_two_tasks_is_asked_for_twice(queue: Queue) -> None:
    follow_up = Modification(insert=[NewTask(key="once")])
    queue.new_many([NewTask(key="a"), NewTask(key="b")])
    first, second = queue.try_claim(), queue.try_claim()
    assert first is not None
    assert second is not None
    queue.complete(first, follow_up)
    with pytest.raises(DependencyError):
        queue.complete(second, follow_up)
    assert states(queue) == {"a": "completed", "b": "running", "once": "ready"}


def test_an_ending_with_a_change_may_be_written_again_after_a_lost_reply(queue: Queue) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    for change in (Modification(insert=[NewTask(key="b")]),) * 2:
        queue.complete(task, change)
    assert states(queue) == {"a": "completed", "b": "ready"}


def test_a_task_s_own_deletion_may_be_written_again_after_a_lost_reply(queue: Queue) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    for change in (Modification(delete=[task], insert=[NewTask(key="b")]),) * 2:
        queue.complete(task, change)
    assert states(queue) == {"b": "ready"}


def test_a_worker_that_lost_its_lease_changes_nothing(queue: Queue) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    queue.release(task)
    for change in (Modification(insert=[NewTask(key="b")]), Modification(delete=[task])):
        with pytest.raises(LeaseLost):
            queue.complete(task, change)
    assert states(queue) == {"a": "ready"}
