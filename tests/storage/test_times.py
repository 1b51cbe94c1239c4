"""No change puts the time of a task behind its expiry: such a task could never run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mongoq import InvalidTask, Modification, NewTask, Queue, Task
from mongoq.core.requests import Adjustment
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations import adjust

LATE = r"run_at: .* \(expires_at .*\) is not an instant before its expires_at"
SHORT = r"expires_at: .* \(run_at .*\) is not an instant after its run_at"

CHANGES: dict[str, tuple[dict[str, float], dict[str, float], str | None]] = {
    "a run_at behind the stored expiry": ({"expires_at": 60}, {"run_at": 61}, LATE),
    "a run_at at the stored expiry": ({"expires_at": 60}, {"run_at": 60}, LATE),
    "a delay behind the stored expiry": ({"expires_at": 60}, {"delay": 61}, LATE),
    "an expiry before the stored run_at": ({"run_at": 60}, {"expires_at": 59}, SHORT),
    "both, the wrong way round": ({}, {"run_at": 60, "expires_at": 59}, SHORT),
    "a run_at before the stored expiry": ({"expires_at": 60}, {"run_at": 59}, None),
    "an expiry behind the stored run_at": ({"run_at": 60}, {"expires_at": 61}, None),
    "both later": ({"run_at": 10, "expires_at": 20}, {"run_at": 60, "expires_at": 61}, None),
    "an expiry of a task that is due": ({}, {"expires_at": -1}, None),
    "due at once": ({"run_at": 10, "expires_at": 20}, {"delay": 0}, None),
    "no expiry any more": ({"run_at": 10, "expires_at": 20}, {"run_at": 60, "expires_at": 0}, None),
}


def values(store: Any, given: dict[str, float]) -> dict[str, Any]:
    """Seconds from now as options; an expiry of 0 is None."""
    now = store.clock.now()
    made = {name: seconds if name == "delay" else now + timedelta(seconds=seconds) for name, seconds in given.items()}
    return {name: None if given[name] == 0 and name == "expires_at" else value for name, value in made.items()}


def by_update(store: Any, task: Task, change: dict[str, Any]) -> Task:
    delay = {"delay": timedelta(seconds=change["delay"])} if "delay" in change else {}
    done: Task = store.run(adjust.adjust(store.context, task.key, Adjustment(**change | delay)))
    return done


def by_change(store: Any, task: Task, change: dict[str, Any]) -> Task:
    done: Task = store.modify(change=[task.as_change(**change)]).changed[0]
    return done


@pytest.mark.parametrize("act", [by_update, by_change])
@pytest.mark.parametrize("case", CHANGES)
def test_a_task_that_waits_keeps_a_time_to_run_in(store: Any, act: Any, case: str) -> None:
    stored, change, refused = CHANGES[case]
    task = store.new(**values(store, stored))
    if refused is None:
        assert act(store, task, values(store, change)).version == 2
        return
    before = store.document(task.key)
    with pytest.raises(InvalidTask, match=refused):
        act(store, task, values(store, change))
    assert store.document(task.key) == before


def test_one_task_that_could_not_run_keeps_the_whole_change_away(store: Any) -> None:
    now = store.clock.now()
    fine, short = store.new(), store.new(expires_at=now + timedelta(seconds=60))
    later = [task.as_change(delay=61) for task in (fine, short)]
    with pytest.raises(InvalidTask, match=LATE):
        store.modify(Modification(change=later, insert=[NewTask(key="new")]))
    assert {task.key for task in store.list()} == {fine.key, short.key}
    assert store.get(fine.key).version == 1


def test_a_task_that_is_held_is_not_put_behind_its_expiry_either(store: Any) -> None:
    store.new(expires_at=store.clock.now() + timedelta(seconds=60))
    [task] = store.claim()
    with pytest.raises(InvalidTask, match=LATE):
        store.modify(change=[task.as_change(delay=61)])
    assert store.get(task.key).state == "running"


def test_what_is_stored_meanwhile_counts(store: Any) -> None:
    """Between the read and the write of an update somebody sets an expiry: the version guards, and it is read again."""
    task = store.new()
    now = store.clock.now()
    op = adjust.adjust(store.context, task.key, Adjustment(run_at=now + timedelta(seconds=61)))

    def interposed() -> Any:
        command, sent = op.send(None), 0
        while True:
            if type(command).__name__ == "UpdateMany" and not sent:
                sent = 1
                change = {"$set": {"expires_at": now + timedelta(seconds=60)}, "$inc": {"version": 1}}
                store.collection.update_one({"_id": task.key}, change)
            command = op.send((yield command))

    with pytest.raises(InvalidTask, match=LATE):
        store.run(interposed())


@pytest.mark.parametrize("field", ["run_at", "expires_at"])
def test_foreign_times_are_left_alone(store: Any, field: str) -> None:
    task = store.new()
    store.collection.update_one({"_id": task.key}, {"$set": {field: "soon"}})
    change = {"priority": 3} if field == "run_at" else {"run_at": store.clock.now() + timedelta(seconds=61)}
    assert by_update(store, task, change).version == 2


@pytest.fixture
def queue(server: EmbeddedServer) -> Iterator[Queue]:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue:
        yield queue


def test_the_verbs_refuse_it_by_name(queue: Queue) -> None:
    task = queue.new(expires_at=queue.time() + timedelta(seconds=60))
    with pytest.raises(InvalidTask, match=LATE):
        queue.update(task.key, delay=61)
    with pytest.raises(InvalidTask, match=LATE):
        queue.modify(change=[task.as_change(delay=61)])
    assert queue.update(task.key, delay=61, expires_at=None).expires_at is None
