"""A change that is sent again because its reply was lost: recognised, or what is not known is said."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq import Modification, NewTask
from mongoq.core.errors import StorageUnavailable
from mongoq.core.judging.verdict import Returned
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.storage.commands import Op
from mongoq.storage.control import Transact
from mongoq.storage.documents import fields
from mongoq.storage.operations.modify import apply


def without_reply(op: Op[Any]) -> Op[Any]:
    """The operation, whose transaction is made and whose reply is lost."""
    for command in op:
        assert isinstance(command, Transact)
        yield command
        return op.throw(StorageUnavailable("the connection was lost", ambiguous=True))


def sent(store: Any, change: Modification) -> None:
    with pytest.raises(StorageUnavailable):
        store.run(without_reply(apply.modify(store.context, change)))


@pytest.mark.parametrize("others", [1, 3, fields.MOST_MARKS])
def test_it_is_recognised_although_others_have_changed_the_task_again(store: Any, others: int) -> None:
    task = store.new()
    change = Modification(change=[task.as_change(priority=7)], insert=[NewTask(key="made")])
    sent(store, change)
    for number in range(others):
        store.modify(change=[store.get(task.key).as_change(priority=number)])
    done = store.modify(change)
    assert [one.key for one in done.changed] == [task.key]
    assert [one.key for one in done.inserted] == ["made"]
    assert store.get(task.key).priority == others - 1, "it is not made again"


def test_it_is_recognised_after_the_task_ran(store: Any) -> None:
    task = store.new()
    change = Modification(change=[task.as_change(priority=7)])
    sent(store, change)
    store.end(store.claim()[0], Returned(1))
    assert store.modify(change).changed[0].key == task.key


def test_no_more_marks_are_kept_than_that(store: Any) -> None:
    task = store.new()
    for number in range(fields.MOST_MARKS + 5):
        [task] = store.modify(change=[task.as_change(priority=number)]).changed
    assert len(store.document(task.key)[fields.MODIFIED_BY]) == fields.MOST_MARKS


@pytest.mark.parametrize("more", [{}, {"depend": 1}])
def test_of_a_pure_deletion_it_says_that_it_may_have_been_made(store: Any, more: dict[str, int]) -> None:
    task, kept = store.new(), store.new()
    change = Modification(delete=[task], depend=[kept.ref] if more else [])
    sent(store, change)
    with pytest.raises(DependencyError, match="may have been made"):
        store.modify(change)


def test_another_s_deletion_is_not_taken_for_it(store: Any) -> None:
    task = store.new()
    store.modify(delete=[task])
    with pytest.raises(DependencyError) as caught:
        store.modify(Modification(delete=[task]))
    assert "may have been made" not in str(caught.value)
