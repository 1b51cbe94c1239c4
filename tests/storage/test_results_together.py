"""Results of many tasks in one statement: each as it was returned, and those of lost leases nowhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.commands import Bulk, Changing
from mongoq.storage.operations import finish
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.endings.grouping import MOST_TOGETHER

RESULTS: list[Any] = [
    1, 2**60, 1.5, math.inf, True, False, "", "$queue", "$$REMOVE", "$$ROOT", b"\x00\xff", UUID(int=7), Decimal("1.50"),
    datetime(2030, 1, 1, tzinfo=UTC), [], [None], ["$queue", {"$add": [1, 2]}], {}, {"a": {"b": [1, {"c": None}]}},
    {"$add": [1, 2]}, {"$literal": 1}, {"a.b": 1, "": 2}, {"queue": "$queue"},
]  # fmt: skip


@pytest.fixture
def completed(store: Any) -> Callable[..., list[Ended]]:
    """Give `completed(results)`: the endings of as many claimed tasks."""

    def make(results: list[Any]) -> list[Ended]:
        store.new_many([NewTask({"n": number}) for number in range(len(results))])
        tasks = store.claim(len(results))
        keep = timedelta(hours=1)
        return [
            Ended(task, Verdict(Event.COMPLETE, result=result, keep=keep))
            for task, result in zip(tasks, results, strict=True)
        ]

    return make


def test_each_task_has_the_result_that_its_handler_returned(store: Any, completed: Callable[..., list[Ended]]) -> None:
    endings = completed(RESULTS)
    assert store.run(finish.finish(store.context, endings)).lost == []
    assert [store.get(ending.task.key).result for ending in endings] == RESULTS


def test_a_result_of_many_is_stored_as_that_of_one(store: Any, completed: Callable[..., list[Ended]]) -> None:
    together = completed(["same"] * 3)
    store.run(finish.finish(store.context, together))
    alone = completed(["same"])
    store.run(finish.finish(store.context, alone))
    own = ("_id", "tags", "last_token", "run_at", "created_at", "modified_at", "hold")
    first, *others = (
        {name: value for name, value in store.document(one.task.key).items() if name not in own}
        for one in [*alone, *together]
    )
    assert first["version"] == 3
    assert others == [first] * 3
    holds = [store.document(one.task.key)["hold"].keys() for one in [*alone, *together]]
    assert holds == [holds[0]] * 4


def test_who_lost_its_lease_changes_nothing_and_the_others_get_their_own(
    store: Any, completed: Callable[..., list[Ended]]
) -> None:
    endings = completed(list(range(10)))
    gone = endings[4].task.key
    store.collection.update_one({"_id": gone}, {"$set": {"hold.token": "another's"}})
    before = store.document(gone)
    assert [ending.task.key for ending in store.run(finish.finish(store.context, endings)).lost] == [gone]
    assert store.document(gone) == before
    assert [store.get(one.task.key).result for one in endings if one.task.key != gone] == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_results_are_written_once_where_they_are_sent_again(store: Any, completed: Callable[..., list[Ended]]) -> None:
    endings = completed(["a", "b", "c"])
    store.run(finish.finish(store.context, endings))
    before = [store.document(one.task.key) for one in endings]
    again = store.run(finish.finish(store.context, endings))
    assert (again.lost, again.blocked) == ([], [])
    assert [store.document(one.task.key) for one in endings] == before


def test_many_results_are_one_statement_and_large_ones_several(
    store: Any, completed: Callable[..., list[Ended]]
) -> None:
    large = "x" * (MOST_TOGETHER // 3)
    endings = completed([1] * 20 + [large] * 4)
    command: Any = next(finish.finish(store.context, endings))
    assert isinstance(command, Bulk)
    held = [len(one.values[1]) for one in command.writes if isinstance(one, Changing) and one.values]
    assert held == [22, 2]
    assert store.run(finish.finish(store.context, endings)).lost == []
    assert {store.get(one.task.key).state for one in endings} == {TaskState.COMPLETED}
    assert [store.get(one.task.key).result for one in endings[18:]] == [1, 1] + [large] * 4


def test_a_document_that_lost_its_version_still_ends(store: Any, completed: Callable[..., list[Ended]]) -> None:
    endings = completed(["a", "b"])
    store.collection.update_one({"_id": endings[0].task.key}, {"$unset": {"version": ""}})
    assert store.run(finish.finish(store.context, endings)).lost == []
    assert [store.document(one.task.key)["version"] for one in endings] == [1, 3]
