"""What handlers say of their progress: guarded by the token, and never taken back by what arrives late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.judging.verdict import Outcome, Raised, Released, Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.signals import Move
from mongoq.core.tasks.progress import LogLine, Unwritten
from mongoq.core.tasks.task import Task
from mongoq.storage.operations import reports
from mongoq.storage.operations.decide import Ended, decide
from mongoq.storage.operations.finish import finish
from mongoq.storage.operations.reports import Saying


def said(
    number: int,
    value: float | None = None,
    message: str | None = None,
    lines: Sequence[str] = (),
    *,
    whole: bool = False,
) -> Unwritten:
    """What an attempt says; it said its lines a second ago."""
    return Unwritten(number, value, message, [(1.0, line) for line in lines] if lines else None, whole)


def write(store: Any, task: Task, *unwritten: Unwritten) -> None:
    for one in unwritten:
        assert store.run(reports.write(store.context, [Saying(task.key, task.token or "-", task.attempts, one)])) == []


def end(store: Any, task: Task, outcome: Outcome, unwritten: Unwritten) -> None:
    ended = Ended(task, decide(store.context, task, outcome, "w"), unwritten=unwritten)
    assert store.run(finish(store.context, [ended])).lost == []


def test_what_is_said_is_seen_while_the_task_runs(store: Any) -> None:
    key = store.new().key
    [task] = store.claim()
    assert task.progress is None
    write(store, task, said(3, 0.4, "rendering", ["page 1", "page 2"], whole=True))
    seen = store.get(key)
    now = store.clock.now()
    assert (seen.state, seen.version) == (TaskState.RUNNING, task.version)
    assert (seen.progress.value, seen.progress.message, seen.progress.attempt) == (0.4, "rendering", 1)
    assert seen.progress.at == now
    assert seen.progress.log == tuple(LogLine(now - timedelta(seconds=1), text) for text in ("page 1", "page 2"))
    assert [listed.progress for listed in store.list()] == [seen.progress]


def test_what_is_said_later_leaves_what_it_does_not_name(store: Any) -> None:
    store.new()
    [task] = store.claim()
    write(store, task, said(2, 0.4, "rendering", ["page 1"], whole=True), said(3, 0.5, "rendering"))
    progress = store.get(task.key).progress
    assert (progress.value, progress.message, [line.text for line in progress.log]) == (0.5, "rendering", ["page 1"])


@pytest.mark.parametrize("whole", [True, False])
def test_a_report_that_arrives_late_takes_nothing_newer_back(store: Any, whole: bool) -> None:
    store.new()
    [task] = store.claim()
    late, newest = said(2, 0.2, "old", ["one"], whole=whole), said(5, 0.8, "new", ["one", "two"], whole=whole)
    write(store, task, said(1, 0.1, whole=True), newest, late)
    progress = store.get(task.key).progress
    assert (progress.value, progress.message, [line.text for line in progress.log]) == (0.8, "new", ["one", "two"])


def test_a_report_of_an_earlier_attempt_changes_nothing(store: Any) -> None:
    store.new()
    [first] = store.claim()
    write(store, first, said(50, 0.9, "nearly there", ["a"], whole=True))
    store.end(first, Released())
    [second] = store.claim()
    assert second.progress is not None
    assert second.progress.attempt == 1, "what the earlier attempt said stays until this one says something"
    write(
        store,
        second,
        said(1, 0.1, whole=True),
    )
    write(store, first, said(51, 1.0, "done"))
    progress = store.get(first.key).progress
    assert (progress.value, progress.message, progress.log, progress.attempt) == (0.1, None, (), 2)


def test_a_report_after_the_end_changes_nothing(store: Any) -> None:
    store.new()
    [task] = store.claim()
    store.end(task, Returned())
    write(store, task, said(1, 0.5, whole=True))
    assert store.get(task.key).progress is None


@pytest.mark.parametrize(
    "outcome", [Returned(42), Returned(), Raised(ValueError("no")), Raised(Move("other"))], ids=str
)
def test_what_is_said_last_is_stored_with_the_ending(store: Any, outcome: Outcome) -> None:
    store.new()
    [task] = store.claim()
    write(store, task, said(1, 0.5, "half", ["a"], whole=True))
    end(store, task, outcome, said(3, 1.0, None, ["a", "b"]))
    progress = store.get(task.key).progress
    assert (progress.value, progress.message, [line.text for line in progress.log]) == (1.0, "half", ["a", "b"])


def test_endings_with_and_without_reports_are_written_together(store: Any) -> None:
    store.new_many([])
    for _ in range(3):
        store.new()
    tasks = store.claim(3)
    unwritten = [said(1, 0.5, whole=True), None, said(1, 0.7, whole=True)]
    ended = [
        Ended(task, decide(store.context, task, Returned(), "w"), unwritten=one)
        for task, one in zip(tasks, unwritten, strict=True)
    ]
    assert store.run(finish(store.context, ended)).lost == []
    found = [store.get(task.key) for task in tasks]
    assert {task.state for task in found} == {TaskState.COMPLETED}
    assert [task.progress and task.progress.value for task in found] == [0.5, None, 0.7]


def test_many_reports_are_written_by_one_call(store: Any) -> None:
    for _ in range(5):
        store.new()
    tasks = store.claim(5)
    sayings = [Saying(task.key, task.token, 1, said(1, n / 10, whole=True)) for n, task in enumerate(tasks)]
    assert store.run(reports.write(store.context, sayings)) == []
    assert [store.get(task.key).progress.value for task in tasks] == [0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    "stored",
    [{"value": 0.5}, 7, {"at": "now"}, "half", {"at": None, "log": [1]}],
)
def test_a_foreign_progress_that_cannot_be_read_is_none(store: Any, stored: Any) -> None:
    key = store.new().key
    store.collection.update_one({"_id": key}, {"$set": {"progress": stored}})
    assert store.get(key).progress is None
    assert [task.key for task in store.claim()] == [key]
    assert [task.progress for task in store.list()] == [None]


def test_what_can_be_read_of_a_foreign_progress_is_shown(store: Any) -> None:
    key, now = store.new().key, store.clock.now()
    store.collection.update_one(
        {"_id": key},
        {"$set": {"progress": {"at": now, "value": "x", "message": 3, "n": "?", "log": [1, {"at": now, "text": "a"}]}}},
    )
    progress = store.get(key).progress
    assert (progress.value, progress.message, progress.attempt, progress.log) == (None, None, 0, (LogLine(now, "a"),))
