"""What follows a task: enqueued with its end, whoever ends it and however, and the callback of a task function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import (
    Cancel,
    ConfigurationError,
    Done,
    Fail,
    Failure,
    InvalidTask,
    LeaseLost,
    MaxRetriesExceeded,
    Modification,
    NewTask,
    Queue,
    Retry,
    Task,
    TaskCancelled,
    TaskState,
)
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations import sweep

MakeQueue = Callable[..., Queue]
REPORT = NewTask({"for": "ada"}, queue="reports", name="report", priority=3)


@pytest.fixture
def collection(server: EmbeddedServer, queue: Queue) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client["mongoq"][f"{queue.namespace}.tasks"]


def reports(queue: Queue) -> list[Task]:
    return queue.tasks(queue="reports", limit=None)


def report(queue: Queue) -> dict[str, Any]:
    """The payload of the one task that follows."""
    (found,) = reports(queue)
    assert (found.tags, found.name, found.priority, found.state) == ({"for": "ada"}, "report", 3, TaskState.READY)
    payload: dict[str, Any] = found.payload
    return payload


def test_a_completion_brings_what_follows_with_its_result(queue: Queue) -> None:
    queue.new({"n": 1}, key="a", on_complete=REPORT, context={"trace": "t"})
    queue.run(lambda task: {"sum": 7}, burst=True)
    assert report(queue) == {
        "key": "a", "queue": "default", "name": None, "state": "completed", "result": {"sum": 7}, "error": None,
        "failure": None, "note": None, "attempt": 1,
    }  # fmt: skip
    assert reports(queue)[0].context == {"trace": "t"}
    assert queue.get("a").result == {"sum": 7}


def raising(error: BaseException) -> Callable[[Task], Any]:
    def handler(task: Task) -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    "error, state, failure",
    [
        (ValueError("no"), "failed", "exhausted"),
        (Fail("no use"), "failed", "handler"),
        (Cancel("no need"), "cancelled", None),
    ],
)
def test_a_failure_and_a_cancel_bring_it_once_with_the_last_attempt(
    make_queue: MakeQueue, error: Exception, state: str, failure: str | None
) -> None:
    queue = make_queue(max_retries=1, backoff=0, workers=1)
    queue.new(key="a", on_complete=REPORT)
    queue.run(raising(error), burst=True)
    told = report(queue)
    assert (told["key"], told["state"], told["failure"]) == ("a", state, failure)
    assert queue.get("a").state == state
    if isinstance(error, ValueError):
        assert (told["error"], told["attempt"]) == ({"type": "ValueError", "message": "no"}, 2)


def test_it_comes_together_with_what_the_handler_returns(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    queue.run(lambda task: Done(7, then=NewTask(key="own", queue="other")), burst=True)
    assert report(queue)["result"] == 7
    assert queue.get("own").state is TaskState.READY


def test_a_task_that_its_handler_passes_on_lives_on(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    queue.run(lambda task: Modification(change=[task.as_change(queue="later")]), burst=True)
    assert reports(queue) == []
    queue.run(lambda task: 7, queues="later", burst=True)
    assert report(queue)["state"] == "completed"


def test_a_failure_that_follows_a_refused_change_brings_it_too(make_queue: MakeQueue) -> None:
    queue = make_queue(max_retries=0)
    queue.new(key="taken", queue="other")
    queue.new(key="a", on_complete=REPORT)
    queue.run(lambda task: NewTask(key="taken"), burst=True)
    assert (report(queue)["state"], report(queue)["error"]["type"]) == ("failed", "DependencyError")


def test_a_dead_letter_brings_it_when_it_ends(make_queue: MakeQueue) -> None:
    queue = make_queue(max_retries=0, error_queue=True)
    queue.new(key="a", on_complete=REPORT)
    queue.run(lambda task: 1 / 0, burst=True)
    assert reports(queue) == []
    queue.run(lambda task: "buried", queues="default/err", burst=True)
    assert report(queue)["result"] == "buried"


def test_a_task_that_is_deleted_on_completion_brings_it(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT, keep_completed=0)
    queue.run(lambda task: {1, "two"}, burst=True)
    assert isinstance(report(queue)["result"], str | list), "as BSON carries it, or as text"
    assert [task.key for task in queue.tasks()] == [reports(queue)[0].key]


def test_a_large_result_comes_as_text(make_queue: MakeQueue) -> None:
    queue = make_queue(max_task_bytes=10_000)
    queue.new(key="a", on_complete=REPORT)
    queue.run(lambda task: ["x" * 8_000], burst=True)
    assert len(queue.get("a").result[0]) == 8_000
    assert report(queue)["result"].startswith("['xxx")


def test_endings_by_hand_bring_it(queue: Queue) -> None:
    queue.new_many([{}, {}], on_complete=REPORT)
    queue.new(key="plain")
    queue.complete(queue.claim_many(3), 7)
    assert [task.payload["result"] for task in reports(queue)] == [7, 7]
    assert queue.count(state="completed") == 3


def test_a_refused_ending_brings_nothing(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    task = queue.try_claim()
    assert task is not None
    queue.release(task)
    with pytest.raises(LeaseLost):
        queue.complete(task)
    assert reports(queue) == []


def test_a_completion_in_a_transaction_of_the_handler_s_own_brings_it_with_its_commit(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    task = queue.try_claim()
    assert task is not None
    with pytest.raises(ZeroDivisionError), queue.transaction(task, 7):
        raise ZeroDivisionError
    assert reports(queue) == []
    with queue.transaction(task, 7):
        pass
    assert report(queue)["result"] == 7


def test_a_cancel_of_waiting_tasks_brings_it(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    queue.new(key="b", delay=600, on_complete=REPORT)
    queue.new(key="c")
    queue.cancel("a")
    assert report(queue)["state"] == "cancelled"
    assert queue.cancel_all(queue="default") == 2
    assert [task.payload["key"] for task in reports(queue)] == ["a", "b"]


def test_a_cancel_that_overtakes_a_retry_brings_it(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    task = queue.try_claim()
    assert task is not None
    queue.cancel("a")
    queue.retry(task, "again")
    assert (queue.get("a").state, report(queue)["state"]) == (TaskState.CANCELLED, "cancelled")


def test_a_cancel_that_overtakes_a_failure_brings_it_once(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    task = queue.try_claim()
    assert task is not None
    queue.cancel("a")
    queue.fail(task, "no")
    assert (queue.get("a").state, report(queue)["state"]) == (TaskState.CANCELLED, "cancelled")


def test_an_expiry_brings_it(queue: Queue, collection: Any, until: Callable[..., None]) -> None:
    queue.new(key="a", on_complete=REPORT, expires_at=queue.time() + timedelta(days=1))
    past = queue.time() - timedelta(seconds=60)
    collection.update_one({"_id": "a"}, {"$set": {"expires_at": past}})
    base = queue._base
    base.run(sweep.expire(base.context))
    assert (queue.get("a").state, report(queue)["state"]) == (TaskState.EXPIRED, "expired")


def test_a_task_whose_workers_are_lost_brings_it(queue: Queue, collection: Any) -> None:
    queue.new(key="a", on_complete=REPORT)
    assert queue.try_claim() is not None
    past = queue.time() - timedelta(seconds=60)
    collection.update_one({"_id": "a"}, {"$set": {"hold.until": past, "lost_leases": 4}})
    base = queue._base
    base.run(sweep.rescue(base.context))
    told = report(queue)
    assert (queue.get("a").failure, told["state"], told["failure"]) == (Failure.LOST, "failed", "lost")
    assert told["error"]["type"] == "WorkerLost"


def test_a_task_that_runs_again_brings_it_again(queue: Queue) -> None:
    queue.new(key="a", on_complete=REPORT)
    for result in (1, 2):
        queue.run(raising(Fail(str(result))), burst=True)
        queue.rerun("a")
    assert [task.payload["note"] for task in reports(queue)] == ["1", "2"]


def test_a_task_function_may_follow_and_finds_the_end_in_its_payload(make_queue: MakeQueue) -> None:
    queue = make_queue(workers=1)
    told: list[Any] = []

    @queue.task
    def after(task: Task, greeting: str = "hello") -> None:
        told.append((greeting, task.payload["key"], task.payload["result"]))

    @queue.task(on_complete=after)
    def first() -> int:
        return 7

    @queue.task(on_complete=after.call("good day"))
    def second() -> int:
        return 8

    keys = [first.new().key, second.new().key]
    queue.run(burst=True)
    assert sorted(told) == [("good day", keys[1], 8), ("hello", keys[0], 7)]


def test_a_callback_of_a_task_function_is_called_once_with_its_result_or_error(make_queue: MakeQueue) -> None:
    queue = make_queue(workers=1, max_retries=1, backoff=0)
    told: list[tuple[str, Any, Any]] = []

    def note(task: Task, result: Any, error: Exception | None) -> None:
        told.append((task.key, result, error))

    @queue.task(on_complete=note)
    def work(how: str) -> int:
        if how == "fails":
            raise ValueError("no")
        if how == "is cancelled":
            raise Cancel("no need")
        if how == "waits":
            raise Retry(delay=600)
        return 7

    keys = {how: work.options(key=how).new(how).key for how in ("returns", "fails", "is cancelled", "waits")}
    queue.run(burst=True)
    ends = {key: (result, error) for key, result, error in told}
    assert len(told) == 3
    assert ends["returns"] == (7, None)
    assert isinstance(ends["fails"][1], MaxRetriesExceeded)
    assert "has failed after 2 attempts: ValueError: no" in str(ends["fails"][1])
    assert isinstance(ends["is cancelled"][1], TaskCancelled)
    assert queue.get(keys["waits"]).state is TaskState.SCHEDULED


@pytest.mark.parametrize(
    "given, told",
    [
        (print, "on_complete: <built-in function print> is not a task function, its call, or a NewTask"),
        (NewTask(key="k"), "on_complete.key"),
        (NewTask(payload=1), "on_complete.payload"),
        (NewTask(delay=5), "on_complete.delay"),
        (NewTask(max_retries=5), "on_complete.max_retries"),
        (7, "on_complete: 7"),
    ],
)
def test_what_cannot_follow_is_refused(queue: Queue, given: Any, told: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        queue.new(on_complete=given)
    assert told in str(caught.value)


def test_a_coroutine_is_no_callback(queue: Queue) -> None:
    async def note(task: Task, result: Any, error: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="on_complete"):

        @queue.task(on_complete=note)
        def work() -> None: ...
