"""What a handler returns or writes takes effect together with the completion of its task, in every executor."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mongoq import DependencyError, LeaseLost, Modification, NewTask, Queue, Task, TaskState
from mongoq.storage import upkeep
from mongoq.storage.embedded import EmbeddedServer

EXECUTORS = ["threads", "asyncio", "processes"]
MakeQueue = Callable[..., Queue]


@pytest.fixture(scope="module", autouse=True)
def handlers() -> Iterator[ModuleType]:
    """The module whose functions children can import: they get this process's `sys.path`."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield importlib.import_module("process_handlers")
    sys.path.pop(0)
    sys.modules.pop("process_handlers")


@pytest.fixture(params=EXECUTORS)
def run(request: pytest.FixtureRequest, handlers: ModuleType) -> Callable[..., None]:
    """Give `run(queue, name, **options)`: run what is ready with the handler of this name, in each executor."""

    def work(queue: Queue, name: str, **options: Any) -> None:
        executor: str = request.param
        handler = getattr(handlers, f"{name}_on_a_loop" if executor == "asyncio" else name)
        queue.run(handler, executor=executor, workers=1, burst=True, **options)

    return work


def states(queue: Queue) -> dict[str, str]:
    return {task.key: task.state.value for task in queue.tasks()}


@pytest.mark.parametrize("wanted", ["list", "modification", "one", "tuple"])
def test_what_a_handler_returns_follows_its_completion(queue: Queue, run: Any, wanted: str) -> None:
    queue.new({"wanted": wanted}, key="a")
    run(queue, "follows")
    assert states(queue) == {"a": "completed", "next": "completed"}
    assert queue.get("a").result is None


def test_new_tasks_beside_something_else_fail_the_task_and_say_what_is_allowed(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "mixed"}, key="a")
    run(queue, "follows")
    assert states(queue) == {"a": "failed"}
    error = queue.get("a").last_error
    assert error is not None
    assert "is not a result, a NewTask, a list of NewTasks and nothing else, or a Modification" in error.message


def test_a_result_that_cannot_be_stored_fails_the_task_at_once(queue: Queue, run: Any) -> None:
    queue.new({"wanted": "unstorable"}, key="a")
    run(queue, "follows")
    task = queue.get("a")
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert task.last_error is not None
    assert (task.last_error.type, "lock" in task.last_error.message) == ("Fail", True)
    assert "is not a value that BSON can carry" in task.last_error.message


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


def test_a_refused_change_may_be_ignored(queue: Queue, run: Any) -> None:
    queue.new(key="taken", queue="other")
    queue.new({"wanted": "collision"}, key="a")
    run(queue, "follows", on_dependency_error="ignore")
    assert states(queue) == {"a": "completed", "taken": "ready"}


def test_a_refused_change_may_end_the_worker(queue: Queue, run: Any) -> None:
    queue.new(key="taken", queue="other")
    queue.new({"wanted": "collision"}, key="a")
    with pytest.raises(DependencyError, match="insert 'taken'"):
        run(queue, "follows", on_dependency_error="stop")
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
    assert handle.wait(20)
    assert isinstance(handle.error, DependencyError)


def test_a_completion_by_hand_may_bring_a_change(queue: Queue) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    with pytest.raises(DependencyError):
        queue.complete(task, [NewTask(key="a")])
    assert queue.get("a").state is TaskState.RUNNING
    queue.complete(task, Modification(insert=[NewTask(key="b")]))
    assert states(queue) == {"a": "completed", "b": "ready"}


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


def test_a_worker_that_lost_its_lease_changes_nothing(queue: Queue) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    queue.release(task)
    for change in (Modification(insert=[NewTask(key="b")]), Modification(delete=[task])):
        with pytest.raises(LeaseLost):
            queue.complete(task, change)
    assert states(queue) == {"a": "ready"}


# The handler's own transaction


def orders_of(queue: Queue) -> Any:
    """Give the application's own collection beside a queue."""
    return queue._connection.database.client["shop"][f"{queue.namespace}.orders"]


@pytest.fixture
def orders(queue: Queue) -> Any:
    return orders_of(queue)


def buying(queue: Queue, server: EmbeddedServer, **tags: Any) -> str:
    return queue.new({"uri": server.uri, **tags}).key


@pytest.mark.parametrize("keep", [0, 3600])
def test_a_handler_s_writes_and_its_completion_are_one(
    queue: Queue, server: EmbeddedServer, events: Any, run: Any, keep: int
) -> None:
    key = buying(queue, server, keep=keep)
    run(queue, "buys")
    assert orders_of(queue).count_documents({}) == 1
    if keep:
        task = queue.get(key)
        assert (task.state, task.result, task.attempts) == (TaskState.COMPLETED, {"bought": 0}, 1)
    else:
        assert states(queue) == {}
    assert not events.of("task.lease_lost"), "its own return does not end it a second time"


def test_a_handler_that_fails_in_its_transaction_leaves_nothing(
    queue: Queue, server: EmbeddedServer, orders: Any, run: Any
) -> None:
    key = buying(queue, server, fails=True)
    run(queue, "buys")
    task = queue.get(key)
    assert (task.state, task.retries, orders.count_documents({})) == (TaskState.SCHEDULED, 1, 0)


def test_a_transaction_outlives_its_lease(make_queue: MakeQueue, server: EmbeddedServer, watch: Any, run: Any) -> None:
    """MongoDB's lock on the task takes the place of the lease: no renewal, no rescue, no second run."""
    queue = make_queue(lease=1, workers=1)
    events = watch(queue)
    key = buying(queue, server, wait=2.5, linger=1.0)
    run(queue, "buys")
    task = queue.get(key)
    assert (task.state, task.attempts) == (TaskState.COMPLETED, 1)
    assert orders_of(queue).count_documents({}) == 1
    assert not events.of("task.lease_lost")
    assert not events.of("storage.lost"), "no renewal waits behind the transaction"


def test_a_worker_whose_lease_went_to_another_writes_no_row(queue: Queue, orders: Any) -> None:
    """The worker is as good as frozen between its claim and its transaction: the task was rescued meanwhile."""
    key = queue.new().key
    told: list[BaseException] = []
    begun, go_on = threading.Event(), threading.Event()

    def handler(task: Task) -> None:
        begun.set()
        assert go_on.wait(20)
        try:
            with queue.transaction(task) as session:
                orders.insert_one({"_id": task.key}, session=session)
        except LeaseLost as error:
            told.append(error)
            raise

    handle = queue.start(handler, workers=1)
    assert begun.wait(20)
    past = {"$set": {"lease_until": queue.time().replace(year=2020)}}
    queue._connection.database[f"{queue.namespace}.tasks"].update_one({"_id": key}, past)
    queue._driver.run(upkeep.rescue(queue._context))
    other = queue.try_claim()
    assert other is not None
    go_on.set()
    with queue.transaction(other, "the other's") as session:
        orders.insert_one({"_id": "by the other"}, session=session)
    handle.stop(timeout=20)
    assert len(told) == 1
    assert [row["_id"] for row in orders.find()] == ["by the other"]
    assert (queue.get(key).state, queue.get(key).result) == (TaskState.COMPLETED, "the other's")


def test_what_follows_the_transaction_does_not_undo_it(
    queue: Queue, orders: Any, events: Any, caplog: pytest.LogCaptureFixture
) -> None:
    key = queue.new().key

    def handler(task: Task) -> None:
        with queue.transaction(task) as session:
            orders.insert_one({"_id": task.key}, session=session)
        raise ValueError("after all")

    queue.run(handler, burst=True)
    assert (queue.get(key).state, orders.count_documents({})) == (TaskState.COMPLETED, 1)
    assert "is completed; its handler then raised ValueError: after all" in caplog.text
    assert not events.of("task.lease_lost")
