"""What EntroQ promises of its atomic change, told in mongoq's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mongoq
from mongoq import DuplicateTask, Move, NewTask, Queue, Retry, Task, TaskNotFound, TaskState

DependencyError: Any = getattr(mongoq, "DependencyError", None)

atomic = pytest.mark.skipif(not hasattr(Queue, "modify"), reason="there is no atomic change yet")


def refused(change: Callable[[], object]) -> Any:
    """The error with which a change is refused."""
    with pytest.raises(DependencyError) as caught:
        change()
    return caught.value


def test_an_insertion_that_collides_is_an_error_and_may_be_skipped(client: Queue) -> None:
    client.new({"n": 1}, key="k")
    with pytest.raises(DuplicateTask):
        client.new({"n": 2}, key="k")
    assert client.new({"n": 3}, key="k", on_conflict="skip").tags == {"n": 1}
    assert client.count() == 1


def test_a_handler_s_move_keeps_what_went_wrong(client: Queue) -> None:
    def handler(task: Task) -> None:
        try:
            raise ValueError("broken")
        except ValueError as error:
            raise Move("one/err") from error

    key = client.new({"n": 1}, queue="one").key
    client.run(handler, queues="one", burst=True)
    moved = client.get(key)
    assert (moved.queue, moved.state, moved.tags, moved.charged) == ("one/err", TaskState.READY, {"n": 1}, 0)
    assert moved.moved_from == "one"
    assert moved.last_error is not None
    assert (moved.last_error.type, moved.last_error.message) == ("ValueError", "broken")


def test_a_handler_s_retry_runs_again_and_counts(client: Queue) -> None:
    attempts: list[int] = []

    def handler(task: Task) -> None:
        attempts.append(task.attempts)
        if task.attempts < 3:
            raise Retry(delay=0)

    key = client.new(queue="one").key
    client.run(handler, queues="one", burst=True)
    assert client.join("one", timeout=0)
    assert attempts == [1, 2, 3]
    assert client.get(key).retries == 2


@atomic
def test_a_change_moves_a_held_task_and_gives_it_up(client: Any, other: Any) -> None:
    client.new({"n": 1}, queue="one", payload=b"old")
    task = client.try_claim("one")
    client.modify(change=[task.as_change(queue="two", payload=b"new")])
    assert client.try_claim("one") is None
    moved = other.try_claim("two")
    assert (moved.key, moved.payload, moved.tags) == (task.key, b"new", {"n": 1})
    assert moved.version > task.version


@atomic
def test_a_change_that_puts_a_task_off_hides_it_until_then(client: Any) -> None:
    client.new(queue="one")
    task = client.try_claim("one")
    client.modify(change=[task.as_change(delay=0.3)])
    assert client.try_claim("one") is None
    again = client.claim("one", timeout=30)
    assert again.key == task.key


@atomic
def test_a_task_that_another_claimed_and_changed_is_not_changed_by_an_old_view(client: Any, other: Any) -> None:
    seen = client.new({"n": 1}, queue="one")
    theirs = other.try_claim("one")
    error = refused(lambda: client.modify(change=[seen.as_change(payload=b"mine")]))
    assert error.missing or error.claimed
    error = refused(lambda: client.modify(delete=[client.get(seen.key).ref]))
    assert error.claimed
    other.modify(change=[theirs.as_change(queue="one", payload=b"theirs")])
    assert refused(lambda: client.modify(delete=[seen.ref])).missing
    assert client.get(seen.key).payload == b"theirs"


@atomic
def test_everything_happens_or_nothing(client: Any, other: Any) -> None:
    """Insertions, changes and deletions stand and fall together, whichever of them is refused."""
    stays = client.new({"n": 1}, queue="one")
    goes = client.new({"n": 2}, queue="one")
    held = client.new({"n": 3}, queue="theirs")
    other.try_claim("theirs")
    client.new(key="taken", queue="one")
    new = NewTask({"n": 9}, queue="two", key="new")
    before = {task.key: task.version for task in client.tasks()}

    error = refused(
        lambda: client.modify(
            insert=[new], change=[stays.as_change(priority=5)], delete=[goes.ref], depend=[client.get(held.key).ref]
        )
    )
    assert error.claimed
    error = refused(lambda: client.modify(insert=[new, NewTask(key="taken")], delete=[goes.ref]))
    assert error.collisions
    client.delete(goes.key)
    assert refused(lambda: client.modify(insert=[new], change=[stays.as_change(priority=5)], delete=[goes.ref])).missing
    del before[goes.key]
    assert {task.key: task.version for task in client.tasks()} == before

    client.modify(insert=[new], change=[stays.as_change(priority=5)])
    assert client.get("new").tags == {"n": 9}
    assert client.get(stays.key).priority == 5


@atomic
def test_a_dependency_must_be_as_it_was_read_and_stays_as_it_is(client: Any) -> None:
    config = client.new(key="config", queue="configs")
    client.modify(insert=[NewTask(key="a")], depend=[config.ref])
    client.modify(insert=[NewTask(key="b")], depend=[config.ref])
    assert client.get("config").version == config.version
    client.modify(change=[config.as_change(payload=b"2")])
    assert refused(lambda: client.modify(insert=[NewTask(key="c")], depend=[config.ref])).missing
    with pytest.raises(TaskNotFound):
        client.get("c")


@atomic
def test_an_insertion_that_collides_is_refused_as_data_or_skipped(client: Any) -> None:
    client.new(key="k")
    error = refused(lambda: client.modify(insert=[NewTask(key="k"), NewTask(key="fresh")]))
    assert error.collisions
    assert not error.missing
    client.modify(insert=[NewTask(key="k", on_conflict="skip"), NewTask(key="fresh")])
    assert {task.key for task in client.tasks()} == {"k", "fresh"}


@atomic
def test_deleting_what_is_gone_is_refused_as_missing(client: Any) -> None:
    gone = client.new()
    client.modify(delete=[gone.ref])
    assert refused(lambda: client.modify(delete=[gone.ref])).missing
    assert client.count() == 0


@atomic
def test_a_renewed_task_can_still_be_changed_by_its_holder(client: Any) -> None:
    client.new(queue="one")
    task = client.try_claim("one", lease=1)
    with client.keepalive(task, 1):
        assert client.claim("one", timeout=2) is None
        client.modify(insert=[NewTask(queue="two")], delete=[task.ref])
    assert client.queues() == {"two": 1}
