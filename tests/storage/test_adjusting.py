"""`update`: a waiting task gets new values, and nobody else's change is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import ConfigurationError, InvalidTask, WrongState
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import Adjustment, checked_adjustment
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.task import Task
from mongoq.storage.operations import adjust


def update(store: Any, key: str, **change: Any) -> Task:
    task: Task = store.run(adjust.adjust(store.context, key, checked_adjustment(key, Adjustment(**change))))
    return task


def test_an_update_sets_some_tags_removes_others_and_leaves_the_rest(store: Any) -> None:
    key = store.new(tags={"user": 1, "kind": "mail", "none": None}).key
    task = update(store, key, tags={"user": 2, "kind": None, "more": [1]})
    assert dict(task.tags) == {"user": 2, "none": None, "more": [1]}
    assert (task.version, task.state) == (2, TaskState.READY)


def test_an_update_of_one_value_leaves_the_others(store: Any) -> None:
    until = store.clock.now() + timedelta(hours=1)
    key = store.new(tags={"user": 1}, payload=b"p", priority=3, expires_at=until, delay=60).key
    due = store.get(key).run_at
    update(store, key, priority=4)
    update(store, key, tags={"user": 2})
    task = update(store, key, payload=[1])
    assert (task.priority, dict(task.tags), task.payload, task.expires_at, task.run_at) == (
        4,
        {"user": 2},
        [1],
        until,
        due,
    )
    assert task.state is TaskState.SCHEDULED


def test_an_update_with_none_removes_a_payload_and_an_expiry(store: Any) -> None:
    key = store.new(payload={"a": 1}, expires_at=store.clock.now() + timedelta(hours=1)).key
    task = update(store, key, payload=None, expires_at=None)
    assert (task.payload, task.expires_at) == (None, None)
    assert not {"payload", "expires_at"} & store.document(key).keys()


def test_an_update_of_another_version_is_refused(store: Any) -> None:
    key = store.new(priority=1).key
    read = store.get(key)
    assert update(store, key, priority=2, if_version=read.version).priority == 2
    with pytest.raises(DependencyError, match="at version 2 now, not at version 1") as refused:
        update(store, key, priority=3, if_version=read.version)
    assert refused.value.has_missing
    assert store.get(key).priority == 2


def test_a_change_between_the_read_and_the_write_of_an_update_is_not_overwritten(store: Any) -> None:
    key = store.new(tags={"n": 0}).key
    op = adjust.adjust(store.context, key, Adjustment(tags={"mine": True}))

    def slow() -> Any:
        reply = yield op.send(None)  # it has read
        yield from adjust.adjust(store.context, key, Adjustment(tags={"n": 1, "theirs": True}))
        while True:
            try:
                reply = yield op.send(reply)
            except StopIteration as done:
                return done.value

    assert dict(store.run(slow()).tags) == {"n": 1, "theirs": True, "mine": True}


def test_an_update_does_not_change_what_runs(store: Any) -> None:
    key = store.new().key
    store.claim()
    with pytest.raises(WrongState, match="running"):
        update(store, key, tags={"a": 1})


def test_an_update_may_not_make_a_task_too_large(make_store: Callable[..., Any]) -> None:
    store = make_store(max_task_bytes=2_000)
    key = store.new(tags={"a": "x" * 1_000}).key
    for change in ({"tags": {"b": "x" * 1_000}}, {"payload": b"x" * 2_000}):
        with pytest.raises(InvalidTask, match="2,000 bytes"):
            update(store, key, **change)
    assert dict(update(store, key, tags={"a": None, "b": "x" * 1_000}).tags) == {"b": "x" * 1_000}


@pytest.mark.parametrize(
    "change, named",
    [
        ({}, "priority"),
        ({"if_version": 1}, "priority"),
        ({"tags": {"$a": 1}}, "tags name"),
        ({"tags": {"a": object()}}, "tags.a"),
        ({"payload": object()}, "payload"),
        ({"priority": 1, "if_version": "1"}, "if_version"),
        ({"expires_at": 3}, "expires_at"),
    ],
)
def test_an_update_that_makes_no_sense_is_refused_by_the_name_of_its_argument(change: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named}: ".replace("$", "\\$")):
        checked_adjustment("key", Adjustment(**change))
