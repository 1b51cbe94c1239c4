"""Every verb, in both tempos; those of operators are beside."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import (
    AsyncQueue,
    ConfigurationError,
    DependencyError,
    DuplicateTask,
    InvalidTask,
    NewTask,
    Queue,
    QueueClosed,
    TaskNotFound,
    TaskState,
)
from mongoq.verbs import Verbs
from proving.tempos import Face

Make = Callable[..., Face]


def test_a_task_is_made_and_read(queue: Face) -> None:
    task = queue.new({"n": 1}, key="a", priority=3, queue="mail")
    assert task.key == "a"
    assert (queue.get("a").tags, queue.get("a").priority, queue.get("a").queue) == ({"n": 1}, 3, "mail")
    with pytest.raises(TaskNotFound):
        queue.get("b")


def test_an_enqueue_tells_what_is_wrong_with_it(queue: Face) -> None:
    queue.new(key="a")
    with pytest.raises(DuplicateTask):
        queue.new(key="a")
    assert queue.new(key="a", on_conflict="skip").key == "a"
    with pytest.raises(InvalidTask):
        queue.new({"1": 1})


def test_a_whole_new_task_is_enqueued_with_its_own_options(queue: Face) -> None:
    old = queue.new(NewTask({"n": 1}, key="a", priority=3, queue="mail", delay=60))
    assert (old.key, old.priority, old.queue, old.state, old.tags) == ("a", 3, "mail", TaskState.SCHEDULED, {"n": 1})
    made = queue.new(old.again(priority=4))
    assert (made.priority, made.queue, made.state, made.tags) == (4, "mail", TaskState.READY, {"n": 1})
    with pytest.raises(InvalidTask, match=r"tags: NewTask.* beside other options"):
        queue.new(NewTask(), priority=1)
    changed = NewTask({"n": 1})
    changed.tags["$n"] = 1  # type: ignore[index]
    with pytest.raises(InvalidTask, match="tags name"):
        queue.new(changed)


def test_a_task_is_claimed_by_its_key_and_with_what_it_depends_on(queue: Face) -> None:
    config = queue.new(key="config", queue="config")
    queue.new(key="a")
    queue.new(key="b")
    assert queue.claim(key="b").key == "b"
    with pytest.raises(DependencyError) as refused:
        queue.claim(key="b")
    assert [(conflict.key, conflict.role) for conflict in refused.value.claimed] == [("b", "claim")]
    assert queue.claim(depend=[config]).key == "a"
    assert queue.claim(timeout=0.05, depend=[config.ref]) is None, "it waits as long as it is told"
    queue.update("config", priority=1)
    with pytest.raises(DependencyError):
        queue.claim(depend=[config])
    with pytest.raises(ConfigurationError, match="timeout: 1 is not allowed together with key"):
        queue.claim(key="b", timeout=1)


def test_many_are_enqueued_over_several_chunks(queue: Face) -> None:
    made = queue.new_many({"n": n} for n in range(2_500))
    assert [task.tags["n"] for task in made] == list(range(2_500))
    assert queue.load({"n": n} for n in range(1_200)) == 1_200
    assert queue.size() == 3_700


def test_an_iterable_that_breaks_off_tells_how_many_are_enqueued(queue: Face) -> None:
    def broken() -> Any:
        yield from ({"n": n} for n in range(1_500))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        queue.load(broken())
    assert caught.value.__notes__ == ["tasks enqueued before it: 1,000"]
    assert queue.size() == 1_000


def declared(kind: type[Any]) -> dict[str, list[tuple[str, Any, Any]]]:
    """The verbs of a class, each with the name, kind and default of its options."""
    methods = {
        name: getattr(found, "_blocking", found)
        for name, found in (vars(Verbs) | vars(kind)).items()
        if name[0] != "_" and not isinstance(found, property)
    }
    return {
        name: [(one.name, one.kind, one.default) for one in inspect.signature(method).parameters.values()]
        for name, method in methods.items()
    }


def test_both_tempos_have_the_same_verbs_with_the_same_options() -> None:
    assert len(declared(Queue)) > 40
    assert declared(Queue) == declared(AsyncQueue)


def test_every_verb_is_described() -> None:
    for kind in (Queue, AsyncQueue):
        assert [
            name for name, found in (vars(Verbs) | vars(kind)).items() if name[0] != "_" and not found.__doc__
        ] == []


def test_a_misspelt_option_is_told_with_the_one_that_was_meant(queue: Face) -> None:
    with pytest.raises(TypeError, match=r"Queue\.new\(\) has no option 'prioritty'; did you mean 'priority'\?"):
        queue.new({}, prioritty=1)
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        queue.claim(timeot=1)
    with pytest.raises(TypeError, match="did you mean 'max_delay'"):
        queue.within(queue.buffer(max_dely=1)).__enter__()
    with pytest.raises(TypeError, match="did you mean 'lease'"):
        list(queue.each(queue.claims(leese=1)))


def test_a_misspelt_option_of_the_queue_itself(make: Make) -> None:
    with pytest.raises(TypeError, match="did you mean 'max_retries'"):
        make(max_retires=1)
    with pytest.raises(ConfigurationError, match="max_retries"):
        make(max_retries=-1)


def test_a_buffer_groups_what_is_enqueued(queue: Face) -> None:
    with queue.within(queue.buffer()) as buffer:
        make = Face(buffer, queue.loop)
        assert make.new({"n": 1}, key="a").key == "a"
        with pytest.raises(DuplicateTask):
            make.new(key="a")
        with pytest.raises(TypeError, match="prioritty"):
            make.new(prioritty=1)
    with pytest.raises(QueueClosed):
        make.new()
    assert queue.size() == 1


def test_modify_changes_all_or_nothing(queue: Face) -> None:
    task = queue.new(key="a")
    done = queue.modify(insert=[NewTask(key="b")], change=[task.as_change(priority=7)])
    assert [one.key for one in done.inserted] == ["b"]
    assert queue.get("a").priority == 7
    with pytest.raises(DependencyError) as caught:
        queue.modify(insert=[NewTask(key="c")], delete=[task])
    assert caught.value.has_missing
    with pytest.raises(TaskNotFound):
        queue.get("c")


def test_waiting_for_an_end(queue: Face, until: Callable[..., None]) -> None:
    with pytest.raises(TaskNotFound):
        queue.wait("a", timeout=1)
    task = queue.new()
    assert queue.wait(task, timeout=0.05) is None
    assert queue.join(timeout=0) is False
    held = queue.try_claim()
    queue.complete(held, 42)
    assert queue.wait(task, timeout=60).result == 42
    assert queue.join(timeout=60) is True
    assert queue.empty() is True


def handle(task: Any) -> int:
    return task.tags["n"] * 2  # type: ignore[no-any-return]


async def handle_on_a_loop(task: Any) -> int:
    return task.tags["n"] * 2  # type: ignore[no-any-return]


@pytest.mark.parametrize("handler", [handle, handle_on_a_loop])
def test_running_in_a_burst(queue: Face, handler: Any) -> None:
    made = queue.new_many([{"n": n} for n in range(5)])
    queue.run(handler, burst=True)
    assert [queue.get(task.key).result for task in made] == [0, 2, 4, 6, 8]
    queue.new_many([{"n": n} for n in range(3)])
    assert queue.run_once(handler, limit=1) is True
    assert queue.run_once(handler) is False


def test_a_worker_in_the_background(queue: Face) -> None:
    handle = queue.start(handle_on_a_loop)
    worker = Face(handle, queue.loop)
    assert worker.wait(timeout=0) is False
    assert queue.wait(queue.new({"n": 2}), timeout=10).result == 4
    assert [one.id for one in queue.workers()] == [worker.id]
    with pytest.raises(ConfigurationError, match="timeout"):
        worker.stop(timeout=-1)
    worker.wake()
    worker.stop()
    assert worker.stopped
    assert worker.wait(timeout=0) is True
    assert worker.error is None
    worker.stop()


def test_a_worker_is_refused_with_all_that_is_wrong(queue: Face) -> None:
    with pytest.raises(ConfigurationError, match=r"workers.*prefetch"):
        queue.start(handle, workers=0, prefetch=-1)


def test_a_closed_queue_says_so(queue: Face) -> None:
    queue.new()
    queue.close()
    queue.close()
    for call in (queue.new, queue.try_claim, queue.stats, lambda: queue.claim(timeout=1)):
        with pytest.raises(QueueClosed):
            call()


def test_a_queue_is_closed_by_its_own_block(make: Make) -> None:
    queue = make()
    with queue.within(queue.whole):
        queue.new()
    with pytest.raises(QueueClosed):
        queue.new()
