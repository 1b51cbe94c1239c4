"""Changes that are refused as a whole, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.errors import LeaseLost
from mongoq.core.judging.verdict import Returned
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.new_task import NewTask
from tests.storage.test_modifying import everything

# Each refusal


@pytest.fixture
def refused(store: Any) -> Callable[..., DependencyError]:
    """Give `refused(**parts)`: the refusal of this change, which has written nothing."""

    def refuse(**parts: Any) -> DependencyError:
        before = everything(store)
        with pytest.raises(DependencyError) as caught:
            store.modify(**parts)
        assert everything(store) == before
        return caught.value

    return refuse


ROLES: dict[Role, Callable[[Any], dict[str, Any]]] = {
    Role.CHANGE: lambda task: {"change": [task.as_change(priority=1)]},
    Role.DELETE: lambda task: {"delete": [task]},
    Role.DEPEND: lambda task: {"depend": [task]},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_task_refuses_the_whole_change(store: Any, refused: Any, role: Role) -> None:
    task = store.new()
    store.modify(delete=[task])
    error = refused(insert=[NewTask()], **ROLES[role](task))

    assert error.missing == (Conflict(task.key, role, "no task has this key"),)
    assert (error.claimed, error.collisions) == ((), ())


@pytest.mark.parametrize("role", ROLES)
def test_a_task_at_another_version_refuses_the_whole_change(store: Any, refused: Any, role: Role) -> None:
    task = store.new()
    store.modify(change=[task.as_change(priority=2)])
    error = refused(insert=[NewTask()], **ROLES[role](task))

    assert error.missing == (Conflict(task.key, role, "it is ready at version 2 now, not at version 1"),)


@pytest.mark.parametrize("role", ROLES)
def test_a_task_held_by_another_refuses_the_whole_change(store: Any, refused: Any, role: Role) -> None:
    store.new()
    [task] = store.claim(worker="another")
    error = refused(insert=[NewTask()], **ROLES[role](store.get(task.key)))

    advice = "if that is you, name the task that your claim brought, or tasks(mine=True)"
    assert error.claimed == (Conflict(task.key, role, f"another holds it; {advice}"),)
    assert error.missing == ()


@pytest.mark.parametrize("look", ["get", "tasks"])
def test_who_only_read_a_running_task_cannot_act_as_its_holder(store: Any, refused: Any, look: str) -> None:
    store.new()
    [task] = store.claim()
    seen = store.get(task.key) if look == "get" else store.list()[0]
    assert seen.token is None
    assert refused(delete=[seen]).has_claims
    with pytest.raises(LeaseLost):
        store.end(seen, Returned())


def test_a_finished_task_is_not_changed(store: Any, refused: Any) -> None:
    key = store.new().key
    store.end(store.claim()[0], Returned())
    error = refused(change=[store.get(key).as_change(priority=1)])

    assert error.missing == (Conflict(key, Role.CHANGE, "it is completed: a finished task is not changed"),)


def test_a_taken_key_refuses_the_whole_change(store: Any, refused: Any) -> None:
    store.new(key="k")
    other = store.new()
    error = refused(insert=[NewTask(key="k"), NewTask(key="l")], delete=[other])
    assert error.collisions == (Conflict("k", Role.INSERT, "a task has this key already"),)


def test_a_taken_unique_value_refuses_the_whole_change(store: Any, refused: Any) -> None:
    store.new(key="k", unique="u")
    error = refused(insert=[NewTask(key="l", unique="u")])
    [conflict] = error.collisions
    assert (conflict.key, conflict.role) == ("l", Role.INSERT)
    assert "'k' has the `unique` value 'u'" in conflict.why


def test_a_unique_value_may_go_from_a_deleted_task_to_a_new_one(store: Any) -> None:
    old = store.new(unique="u")
    [made] = store.modify(insert=[NewTask(unique="u")], delete=[old]).inserted
    assert store.get(made.key).unique == "u"


def test_an_insertion_that_may_be_skipped_drops_out_where_that_is_all(store: Any, refused: Any) -> None:
    store.new(key="k", unique="u")
    inserts = [NewTask(key="k", on_conflict="skip"), NewTask(key="l"), NewTask(key="m", unique="u", on_conflict="skip")]
    assert [task.key for task in store.modify(insert=inserts).inserted] == ["l"]

    error = refused(insert=[NewTask(key="k", on_conflict="skip"), NewTask(key="l")])
    assert [conflict.key for conflict in error.collisions] == ["k", "l"]

    gone = store.new()
    store.modify(delete=[gone])
    assert refused(insert=[NewTask(key="k", on_conflict="skip")], depend=[gone]).has_missing


def test_every_obstacle_is_told(store: Any, refused: Any) -> None:
    held, moved = store.new(priority=1), store.new(key="k")
    store.claim()
    store.modify(change=[moved.as_change(priority=1)])
    error = refused(insert=[NewTask(key="k2"), NewTask(unique="u")], delete=[store.get(held.key)], depend=[moved])
    assert (error.has_missing, error.has_claims, error.has_collisions) == (True, True, False)
