"""The sweeps and the making of tasks, by the replies they are given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mongoq.clock import FrozenClock
from mongoq.errors import DuplicateTask
from mongoq.lifecycle import TaskState
from mongoq.new_task import NewTask
from mongoq.storage import enqueueing, filters, upkeep
from mongoq.storage.commands import Command
from mongoq.storage.context import Context
from mongoq.storage.failures import KeyTaken
from mongoq.storage.upkeep import Swept

Drive = Callable[..., tuple[list[Command], Any]]
Make = Callable[..., dict[str, Any]]
NOW = FrozenClock().now()
SECOND = timedelta(seconds=1)


def matched(count: int) -> SimpleNamespace:
    return SimpleNamespace(matched_count=count)


def abandoned(make_document: Make, **fields: Any) -> dict[str, Any]:
    held = {"state": "running", "token": "t1", "worker": "w", "attempts": 1, "lease_until": NOW - 2 * SECOND}
    return make_document(**(held | fields))


@pytest.mark.parametrize(
    "sweep, field, slack",
    [
        (upkeep.promote, "run_at", timedelta(0)),
        (upkeep.expire, "expires_at", timedelta(0)),
        (upkeep.rescue, "lease_until", filters.SKEW),
    ],
)
def test_an_idle_sweep_costs_one_find_and_says_when_to_come_back(
    drive: Drive, context: Context, sweep: Any, field: str, slack: timedelta
) -> None:
    assert drive(sweep(context), [])[1] == Swept(0, None)
    assert drive(sweep(context), [{"_id": "k", field: NOW + 5 * SECOND}])[1] == Swept(0, 5 * SECOND + slack)


def test_a_lease_is_left_alone_for_a_second_beyond_its_end(drive: Drive, context: Context) -> None:
    first = {"_id": "k", "lease_until": NOW - SECOND / 2}
    assert drive(upkeep.rescue(context), [first])[1] == Swept(0, SECOND / 2)


def test_a_full_batch_says_that_more_wait(drive: Drive, context: Context) -> None:
    first = {"_id": "k0", "run_at": NOW}
    found = [{"_id": f"k{number}"} for number in range(upkeep.BATCH)]
    commands, swept = drive(upkeep.promote(context), [first], found, matched(upkeep.BATCH - 1))
    assert swept == Swept(upkeep.BATCH - 1, timedelta(0))
    where = commands[2].args[0]
    assert (where["state"], where["run_at"]) == (TaskState.SCHEDULED, {"$lte": NOW}), "written under the same guard"


def test_tasks_lost_with_a_batch_are_refunded_by_one_update_for_each_claim(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [abandoned(make_document, _id=key, token=token) for key, token in (("a", "t1"), ("b", "t2"), ("c", "t1"))]
    commands, swept = drive(upkeep.rescue(context), found[:1], found, matched(2), matched(1))
    assert swept.moved == 3
    for update, keys, token in zip(commands[2:], ({"$in": ["a", "c"]}, "b"), ("t1", "t2"), strict=True):
        where, change = update.args
        assert (where["_id"], where["token"], where["state"]) == (keys, token, TaskState.RUNNING)
        assert where["lease_until"] == {"$lte": NOW - filters.SKEW}, "its holder may have renewed meanwhile"
        assert change["$set"]["state"] == TaskState.READY
        assert change["$inc"] == {"version": 1, "uncharged": 1, "suspect": 1}
        assert "last_token" not in change["$set"], "nobody's ending"


def test_a_suspect_that_is_lost_again_pays_and_waits(drive: Drive, context: Context, make_document: Make) -> None:
    found = [abandoned(make_document, suspect=2, attempts=3, uncharged=2)]
    commands, swept = drive(upkeep.rescue(context), found, found, matched(1))
    where, change = commands[2].args
    assert where["token"] == "t1"
    assert change["$set"]["state"] == TaskState.SCHEDULED
    assert change["$set"]["run_at"] == NOW + 10 * SECOND
    assert "uncharged" not in change["$inc"]
    assert swept.moved == 1


def test_a_lost_task_that_somebody_cancelled_is_cancelled(drive: Drive, context: Context, make_document: Make) -> None:
    found = [abandoned(make_document, cancel_requested=True)]
    commands, _ = drive(upkeep.rescue(context), found, found, matched(1))
    _, change = commands[2].args
    assert change["$set"]["state"] == TaskState.CANCELLED


def test_a_callable_backoff_that_raises_does_not_keep_lost_tasks_from_their_rescue(
    drive: Drive, make_context: Callable[..., Context], make_document: Make
) -> None:
    def broken(attempt: int) -> float:
        raise ZeroDivisionError

    found = [abandoned(make_document, _id="a", suspect=2), abandoned(make_document, _id="b")]
    _, swept = drive(upkeep.rescue(make_context(backoff=broken)), found[:1], found, matched(1), matched(1))
    assert swept.moved == 2


def test_a_taken_key_is_named_or_skipped(drive: Drive, context: Context, make_document: Make) -> None:
    task = NewTask(key="k1")
    with pytest.raises(DuplicateTask, match="'k1'") as caught:
        drive(enqueueing.new(context, task), KeyTaken("_id", 0))
    assert (caught.value.key, caught.value.unique) == ("k1", None)
    skipping = NewTask(key="k1", on_conflict="skip")
    commands, existing = drive(enqueueing.new(context, skipping), KeyTaken("_id", 0), [make_document(priority=9)])
    assert commands[1].args[0] == {"_id": "k1"}
    assert existing.priority == 9


def test_a_taken_unique_value_leads_to_its_unfinished_task(drive: Drive, context: Context, make_document: Make) -> None:
    task = NewTask(unique="u1")
    with pytest.raises(DuplicateTask, match="'u1'") as caught:
        drive(enqueueing.new(context, task), KeyTaken("unique", 0))
    assert (caught.value.key, caught.value.unique) == (None, "u1")
    skipping = NewTask(unique="u1", on_conflict="skip")
    commands, existing = drive(enqueueing.new(context, skipping), KeyTaken("unique", 0), [make_document()])
    assert commands[1].args[0]["unique"]["$eq"] == "u1"
    assert existing.key == "k1"


def test_a_task_that_ended_before_it_could_be_read_is_a_duplicate_all_the_same(drive: Drive, context: Context) -> None:
    lost_twice: tuple[Any, ...] = (KeyTaken("unique", 0), [], KeyTaken("unique", 0), [])
    with pytest.raises(DuplicateTask):
        drive(enqueueing.new(context, NewTask(unique="u1", on_conflict="skip")), *lost_twice)


def test_a_unique_value_set_free_meanwhile_is_taken(drive: Drive, context: Context) -> None:
    new = enqueueing.new(context, NewTask(unique="u1", on_conflict="skip"))
    _, task = drive(new, KeyTaken("unique", 0), [], None)
    assert task.unique == "u1"


def test_many_tasks_go_in_chunks_and_keep_their_order(drive: Drive, context: Context) -> None:
    tasks = [NewTask(tags={"n": number}) for number in range(enqueueing.CHUNK + 1)]
    commands, made = drive(enqueueing.new_many(context, tasks), None, None)
    assert [len(command.args[0]) for command in commands] == [enqueueing.CHUNK, 1]
    assert [task.tags["n"] for task in made] == list(range(enqueueing.CHUNK + 1))
    assert [task.key for task in made] == sorted(task.key for task in made)


def test_large_tasks_go_in_chunks_by_their_size(drive: Drive, context: Context) -> None:
    tasks = [NewTask(payload=b"x" * 1_000_000)] * 20
    commands, made = drive(enqueueing.new_many(context, tasks), None, None)
    assert [len(command.args[0]) for command in commands] == [16, 4]
    assert len(made) == 20


def test_no_tasks_are_no_trip(drive: Drive, context: Context) -> None:
    assert drive(enqueueing.new_many(context, [])) == ([], [])


def test_the_refused_one_of_many_is_named(drive: Drive, context: Context) -> None:
    tasks = [NewTask(key=key) for key in "abc"]
    with pytest.raises(DuplicateTask, match="'b'"):
        drive(enqueueing.new_many(context, tasks), KeyTaken("_id", 1))
