"""What tasks carry along: given at the call, told by a hook, and passed on to what follows."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq import ConfigurationError, Done, InvalidTask, NewTask, Task
from proving.tempos import Face


def contexts(queue: Face, **selection: Any) -> list[dict[str, Any]]:
    return [dict(task.context) for task in queue.tasks(**selection)]


def test_a_task_carries_what_was_given(queue: Face) -> None:
    task = queue.new({"user": 1}, context={"trace-id": "a1", "sampled": True, "weight": 0.5, "parent": None})
    assert task.context == queue.get(task.key).context == queue.try_claim().context
    assert task.context == {"trace-id": "a1", "sampled": True, "weight": 0.5, "parent": None}
    assert queue.new().context == {}
    with pytest.raises(TypeError):
        task.context["more"] = 1


@pytest.mark.parametrize(
    "context, told",
    [
        ("trace", "context: 'trace' is not a mapping"),
        ({"no name": 1}, "context name"),
        ({"$set": 1}, "context name"),
        ({"trace": [1]}, "context.trace"),
        ({"trace": "x" * 1_001}, "context.trace"),
        ({"trace": 2**63}, "context.trace"),
        ({f"n{number}": 1 for number in range(33)}, "at most 32 values"),
    ],
)
def test_what_cannot_be_carried_is_refused(queue: Face, context: Any, told: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        queue.new(context=context)
    assert told in str(caught.value)
    assert queue.size() == 0


def test_a_hook_tells_at_every_way_to_enqueue_under_what_is_given(queue: Face) -> None:
    calls: list[int] = []

    def carried() -> dict[str, Any]:
        calls.append(1)
        return {"tenant": "acme", "call": len(calls)}

    queue.context(carried)
    queue.new(key="1", context={"call": "own"})
    queue.new_many([{}, NewTask(key="3", context={"more": 1})])
    queue.load([NewTask(key="4")])
    queue.modify(insert=[NewTask(key="5")])
    found = contexts(queue, limit=None)
    assert len(found) == 5
    assert all(context["tenant"] == "acme" for context in found)
    assert dict(queue.get("1").context) == {"tenant": "acme", "call": "own"}

    def called(n: int) -> None:
        """Is not run."""

    called_later = queue.task(called)
    tasks = queue.new_many([called_later.call(n) for n in range(2)])
    assert [queue.get(task.key).context["call"] for task in tasks] == [len(calls) - 1, len(calls)]
    assert queue.get("3").context["more"] == 1
    assert len({context["call"] for context in found}) >= 4, "it is asked at each call"


def test_what_a_hook_raises_passes_on_and_what_it_tells_is_checked(queue: Face) -> None:
    told: list[Any] = [[1]]
    queue.context(lambda: told[0] or 1 / 0)
    with pytest.raises(InvalidTask, match="context"):
        queue.new()
    told[0] = None
    with pytest.raises(ZeroDivisionError):
        queue.new_many([{}])
    assert queue.size() == 0


def test_there_is_one_hook_and_it_is_a_plain_function(queue: Face) -> None:
    async def coroutine() -> dict[str, Any]:
        return {}

    with pytest.raises(ConfigurationError, match="a plain function"):
        queue.context(coroutine)
    queue.context(dict)
    with pytest.raises(ConfigurationError, match=r"has .* already"):
        queue.context(dict)


def test_what_follows_a_task_carries_its_context_on(queue: Face) -> None:
    queue.new(key="a", context={"trace": "t1"})
    queue.complete(queue.try_claim(), [NewTask(key="b"), NewTask(key="c", context={})])
    assert dict(queue.get("b").context) == {"trace": "t1"}
    assert dict(queue.get("c").context) == {}
    queue.delete("c")
    queue.complete(queue.try_claim(), Done(7, then=NewTask(key="d")))
    assert dict(queue.get("d").context) == {"trace": "t1"}
    assert dict(queue.new(queue.get("d").again()).context) == {"trace": "t1"}


def test_a_handler_sees_it_in_every_task(queue: Face) -> None:
    def tell(task: Task) -> Any:
        return dict(task.context)

    key = queue.new(context={"tenant": "acme"}).key
    queue.run(tell, burst=True, executor="threads")
    assert queue.get(key).result == {"tenant": "acme"}
