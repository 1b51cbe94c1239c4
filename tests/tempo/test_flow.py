"""Tasks that run after others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import InvalidTask, NewTask, Queue, Task, TaskState
from proving.tempos import Face
from tests.tempo.flows import CALLBACK, end, opened, state


def test_a_task_runs_after_its_parents_have_completed(queue: Face) -> None:
    first, second = queue.new(key="a"), queue.new(key="b")
    child = queue.new(key="c", after=[first, "b"])
    assert child.state == TaskState.PARKED
    assert child.parents == ("a", "b")

    assert end(queue) == "a"
    assert state(queue, "c") == "parked"
    assert end(queue) == second.key
    assert state(queue, "c") == "ready"
    assert end(queue) == "c"


def test_what_is_parked_is_unfinished_for_all_who_count_or_wait(queue: Face, make: Callable[..., Face]) -> None:
    queue.new(key="a")
    queue.new(key="c", after="a")
    held = queue.try_claim()
    with opened(queue, key="batch", then=CALLBACK) as batch:
        for other in (queue, make(namespace=queue.whole.namespace)):
            assert (other.size(), other.size("default"), other.empty()) == (3, 3, False)
            counted = other.stats()["default"]
            assert (counted.running, counted.parked, counted.size) == (1, 2, 3)
            assert not other.join(timeout=0)
        assert batch.key == "batch"
    queue.complete(held)
    assert {end(queue), end(queue)} == {"c", "batch"}
    assert queue.join(timeout=60)
    assert (queue.size(), queue.stats()["default"].parked) == (0, 0)


def test_a_delay_of_a_child_still_holds_when_its_parent_has_ended(queue: Face) -> None:
    queue.new(key="a")
    queue.new(key="c", after="a", delay=3600)
    end(queue)
    assert state(queue, "c") == "scheduled"


@pytest.mark.parametrize("how", ["failed", "cancelled", "deleted", "failed before", "missing"])
def test_what_becomes_of_children_whose_parent_does_not_complete(queue: Face, how: str) -> None:
    rules = {"cancel": "cancelled", "run": "ready", "wait": "parked"}
    if how != "missing":
        queue.new(key="a", max_retries=0)
    if how == "failed before":
        end(queue, fail=True)
    queue.new_many([NewTask(key=rule, after=["a"], on_parent_failure=rule) for rule in rules])
    queue.new(key="after cancel", after=["cancel"], on_parent_failure="run")
    queue.new(key="after wait", after=["wait"])
    if how == "failed":
        end(queue, fail=True)
    elif how == "cancelled":
        queue.cancel("a")
    elif how == "deleted":
        queue.delete("a")

    assert {rule: state(queue, rule) for rule in rules} == rules
    assert state(queue, "after cancel") == "ready"
    assert state(queue, "after wait") == "parked"
    assert "its parent a" in queue.get("cancel").note


def test_a_child_is_changed_and_moved_while_it_is_parked(queue: Face) -> None:
    queue.new(key="a")
    queue.new(key="c", after=["a"])
    queue.update("c", delay=3600, priority=7)
    queue.modify(change=[queue.get("c").as_change(queue="other", tags={"n": 1})])
    child = queue.get("c")
    assert (child.state, child.queue, child.priority, child.tags) == ("parked", "other", 7, {"n": 1})
    end(queue)
    assert state(queue, "c") == "scheduled"


def test_a_child_of_a_completed_parent_runs_at_once(queue: Face) -> None:
    queue.new(key="a")
    end(queue)
    queue.new(key="c", after=["a"])
    assert state(queue, "c") == "ready"


def test_a_task_may_get_children_while_it_runs(queue: Face) -> None:
    queue.new(key="a")
    parent = queue.claim()
    queue.new(key="c", after=["a"])
    queue.complete(parent)
    assert state(queue, "c") == "ready"


def test_a_parent_that_is_not_kept_is_kept_for_its_children(queue: Face) -> None:
    queue.new(key="a", keep_completed=0)
    queue.new(key="b")
    queue.new(key="c", after=["a", "b"])
    end(queue, {"n": 1})
    assert queue.get("a").result == {"n": 1}


def test_children_of_a_parent_that_was_released_wait_on(queue: Face) -> None:
    queue.new(key="a")
    queue.new(key="c", after=["a"])
    queue.release(queue.claim())
    assert state(queue, "c") == "parked"


def test_many_children_of_one_and_many_parents_of_one(queue: Face) -> None:
    root = queue.new(key="a")
    middle = queue.new_many([{"n": n} for n in range(300)])
    children = queue.new_many([{"c": n} for n in range(1_200)], after=[root])
    queue.new(key="z", after=[task.key for task in middle])
    end(queue)
    assert {task.state for task in queue.tasks(keys=[one.key for one in children], limit=None)} == {"ready"}
    queue.cancel_all(where={"c": 7})
    left = [task for task in queue.claim_many(1_000) if "n" in task.tags]
    for start in range(0, 300, 100):
        assert state(queue, "z") == "parked"
        queue.complete(left[start : start + 100])
    assert state(queue, "z") == "ready"


def test_a_circle_is_refused_in_one_call_and_over_several(queue: Face) -> None:
    with pytest.raises(InvalidTask, match="itself"):
        NewTask(key="a", after=["a"])
    with pytest.raises(InvalidTask, match="after"):
        queue.new_many([NewTask(key="a", after=["b"]), NewTask(key="b", after=["a"])])
    queue.new(key="d", after=["c"], on_parent_failure="wait")
    queue.new(key="e", after=["d"], on_parent_failure="wait")
    with pytest.raises(InvalidTask, match="c after e after d after c"):
        queue.new(key="c", after=["e"])
    assert queue.count() == 2


def test_a_graph_is_cancelled_as_a_whole_where_asked(queue: Face) -> None:
    queue.new(key="a")
    queue.new(key="b", after=["a"], on_parent_failure="run")
    queue.new(key="c", after=["b"], on_parent_failure="wait")
    queue.cancel("a", children=True)
    assert [state(queue, key) for key in "abc"] == ["cancelled"] * 3


def test_a_parent_that_is_run_again_sets_its_cancelled_children_going_where_asked(queue: Face) -> None:
    queue.new(key="a", max_retries=0)
    queue.new(key="b", after=["a"])
    queue.new(key="c", after=["b"])
    queue.new(key="w", after=["a"], on_parent_failure="wait")
    end(queue, fail=True)
    assert [state(queue, key) for key in "bcw"] == ["cancelled", "cancelled", "parked"]

    queue.rerun("a", children=True)
    assert [state(queue, key) for key in "abcw"] == ["ready", "parked", "parked", "parked"]
    assert end(queue) == "a"
    assert [state(queue, key) for key in "bcw"] == ["ready", "parked", "ready"]


def test_a_change_enqueues_children_with_their_parents(queue: Face) -> None:
    queue.new(key="p")
    held = queue.claim()
    queue.modify(insert=[NewTask(key="a"), NewTask(key="b", after=["a", "p"])])
    assert state(queue, "b") == "parked"
    queue.complete(held)
    assert end(queue) == "a"
    assert state(queue, "b") == "ready"
    with pytest.raises(InvalidTask):
        queue.modify(insert=[NewTask(key="x", after=["y"]), NewTask(key="y", after=["x"])])
    assert queue.count() == 3


def test_a_change_that_deletes_a_parent_cancels_its_children(queue: Face) -> None:
    parent = queue.new(key="a")
    queue.new(key="c", after=[parent])
    queue.modify(delete=[queue.get("a")])
    assert state(queue, "c") == "cancelled"


def test_a_handler_returns_parents_with_their_children(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    queue.new(key="root")
    following = [NewTask(key="x"), NewTask(key="y", after=["x", "root"])]
    ran: list[str] = []

    def handler(task: Task) -> Any:
        ran.append(task.key)
        return following if task.key == "root" else [*task.attempt.parents] if task.attempt else None

    queue.run(handler, burst=True)
    assert ran == ["root", "x", "y"]
    assert queue.get("y").result == ["x", "root"]


def test_what_is_wrong_with_flow_is_told_before_anything_is_sent(queue: Face) -> None:
    for wrong in (
        {"after": 7}, {"after": [7]}, {"after": [""]}, {"on_parent_failure": "ignore"}, {"batch": 7},
        {"after": ["a"] * 2 + [str(n) for n in range(1_001)]},
        {"after": ["a"], "unique": "u", "on_conflict": "replace"},
    ):  # fmt: skip
        with pytest.raises(InvalidTask, match=next(iter(wrong)) if len(wrong) == 1 else "on_conflict"):
            queue.new(**wrong)
    with pytest.raises(InvalidTask, match="then"), opened(queue, then=7):
        pass
