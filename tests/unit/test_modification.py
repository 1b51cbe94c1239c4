from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mongoq.core.errors import InvalidTask
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.modification import Change, Modification, TaskRef
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task

MakeTask = Callable[..., Task]


def test_a_ref_carries_the_proof_of_a_claim_and_hides_it(make_task: MakeTask) -> None:
    task = make_task(token="secret")
    assert task.ref == TaskRef(task.key, task.version, "secret")
    assert "secret" not in repr(task.ref)
    assert "secret" not in repr(Modification(delete=[task], change=[]))


def test_tasks_and_refs_are_named_alike(make_task: MakeTask) -> None:
    task = make_task()
    assert Modification(delete=[task]) == Modification(delete=[task.ref]) == Modification(delete=[task.as_delete()])
    assert Modification(depend=[task]) == Modification(depend=[task.as_depend()])


def test_a_change_says_only_what_was_given(make_task: MakeTask) -> None:
    task = make_task()
    assert task.as_change(payload=None).given == {"payload": None}
    assert task.as_change(queue="q", priority=0).given == {"queue": "q", "priority": 0}


@pytest.mark.parametrize(
    "given, arrives",
    [({"priority": 1}, False), ({"queue": "q"}, True), ({"delay": 0}, True), ({"run_at": datetime.now(UTC)}, True)],
)
def test_a_queue_or_a_time_is_an_arrival(make_task: MakeTask, given: dict[str, Any], arrives: bool) -> None:
    assert make_task().as_change(**given).arrives is arrives


@pytest.mark.parametrize(
    "given, field",
    [
        ({"queue": "no such/ name"}, "queue"),
        ({"queue": None}, "queue"),
        ({"priority": "high"}, "priority"),
        ({"delay": -1}, "delay"),
        ({"delay": None}, "delay"),
        ({"delay": 1, "run_at": datetime.now(UTC)}, "delay"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at"),  # noqa: DTZ001 -- what is refused
        ({"run_at": None}, "run_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"tags": {"no name": 1}}, "tags name"),
        ({"tags": None}, "tags"),
        ({"tags": {f"t{n}": n for n in range(65)}}, "tags"),
        ({"payload": object()}, "payload"),
    ],
)
def test_a_change_is_checked_at_birth(make_task: MakeTask, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        make_task().as_change(**given)
    assert field in {fault.field for fault in caught.value.faults}


@pytest.mark.parametrize(
    "parts, field",
    [
        ({"insert": [{"n": 1}]}, "insert[0]"),
        ({"insert": "tasks"}, "insert"),
        ({"insert": NewTask()}, "insert"),
        ({"change": [TaskRef("k", 1)]}, "change[0]"),
        ({"delete": ["k"]}, "delete[0]"),
        ({"delete": [Change(TaskRef("k", 1))]}, "delete[0]"),
        ({"depend": 3}, "depend"),
        ({"delete": [TaskRef("k", 1), TaskRef("k", 2)]}, "delete"),
        ({"change": [Change(TaskRef("k", 1))], "depend": [TaskRef("k", 1)]}, "depend"),
        ({"insert": [NewTask(key="k")], "delete": [TaskRef("k", 1)]}, "delete"),
        ({"insert": [NewTask(key="k"), NewTask(key="k")]}, "insert"),
        ({"insert": [NewTask(unique="u"), NewTask(unique="u")]}, "insert"),
        ({"insert": [NewTask()] * 1001}, "modification"),
    ],
)
def test_a_modification_is_checked_at_birth(parts: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        Modification(**parts)
    assert field in {fault.field for fault in caught.value.faults}


def test_two_modifications_merge() -> None:
    first = Modification(insert=[NewTask(key="a")], delete=[TaskRef("b", 1)])
    second = Modification(depend=[TaskRef("c", 1)])
    assert first + second == Modification([NewTask(key="a")], (), [TaskRef("b", 1)], [TaskRef("c", 1)])
    assert len(first + second) == 3


def test_modifications_that_name_the_same_task_do_not_merge() -> None:
    with pytest.raises(InvalidTask, match="'b' is not named once: it is in delete already"):
        Modification(delete=[TaskRef("b", 1)]) + Modification(depend=[TaskRef("b", 1)])


def test_a_modification_survives_the_way_through_a_pipe() -> None:
    whole = Modification([NewTask({"n": 1}, key="a", backoff=3)], [Change(TaskRef("b", 1, "t"), payload=None)])
    again = pickle.loads(pickle.dumps(whole))  # noqa: S301 -- made a line above
    assert again == whole
    assert again.id == whole.id
    assert again.change[0].given == {"payload": None}


def test_a_refusal_says_what_stood_in_the_way() -> None:
    error = DependencyError(
        [Conflict("a", Role.CHANGE, "no task has this key")], [], [Conflict("b", Role.INSERT, "taken")]
    )
    assert str(error) == "the change was refused: change 'a': no task has this key (and 1 more)"
    assert (error.has_missing, error.has_claims, error.has_collisions) == (True, False, True)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- made above
    assert (again.missing, again.collisions) == (error.missing, error.collisions)


def test_a_key_known_beforehand_is_like_the_generated_ones() -> None:
    keys = [Task.new_key() for _ in range(100)]
    assert len(set(keys)) == 100
    assert all(len(key) == 32 and int(key, 16) for key in keys)
    assert NewTask(key=keys[0]).key == keys[0]
