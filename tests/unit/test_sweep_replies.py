"""The sweeps, by the replies they are given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.clock import FrozenClock, elapsed
from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.lifecycle import Event, TaskState
from mongoq.storage.context import Context
from mongoq.storage.documents import filters
from mongoq.storage.operations import sweep
from mongoq.storage.operations.sweep import Swept
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.sweeper import Sweeper

Drive = Callable[..., tuple[list[Any], Any]]
Make = Callable[..., dict[str, Any]]
NOW = FrozenClock().now()
SECOND = timedelta(seconds=1)
CONFLICT = StorageUnavailable("another write met this transaction", code=112)
NO_REPLY = StorageUnavailable("time was up", ambiguous=True)


def matched(count: int) -> int:
    return count


def abandoned(make_document: Make, **fields: Any) -> dict[str, Any]:
    held = {"state": "running", "token": "t1", "worker": "w", "attempts": 1, "lease_until": NOW - 2 * SECOND}
    return make_document(**(held | fields))


@pytest.mark.parametrize(
    "sweep, field, slack",
    [
        (sweep.promote, "run_at", timedelta(0)),
        (sweep.expire, "expires_at", timedelta(0)),
        (sweep.rescue, "hold.until", filters.SKEW),
    ],
)
def test_an_idle_sweep_costs_one_find_and_says_when_to_come_back(
    drive: Drive, context: Context, sweep: Any, field: str, slack: timedelta
) -> None:
    assert drive(sweep(context), [])[1] == Swept(0, None)
    outer, _, inner = field.partition(".")
    soon = NOW + 5 * SECOND
    found = {"_id": "k", outer: {inner: soon} if inner else soon}
    assert drive(sweep(context), [found])[1] == Swept(0, 5 * SECOND + slack)


def test_a_lease_is_left_alone_for_a_second_beyond_its_end(drive: Drive, context: Context) -> None:
    first = {"_id": "k", "hold": {"until": NOW - SECOND / 2}}
    assert drive(sweep.rescue(context), [first])[1] == Swept(0, SECOND / 2)


def test_a_full_batch_says_that_more_wait(drive: Drive, context: Context) -> None:
    first = {"_id": "k0", "run_at": NOW}
    found = [{"_id": f"k{number}"} for number in range(sweep.BATCH)]
    commands, swept = drive(sweep.promote(context), [first], found, matched(sweep.BATCH - 1))
    assert swept == Swept(sweep.BATCH - 1, timedelta(0), full=True)
    where = commands[2].where
    assert (where["state"], where["run_at"]) == (TaskState.SCHEDULED, {"$lte": NOW}), "written under the same guard"


def test_tasks_lost_with_a_batch_are_refunded_by_one_update_for_each_claim(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [abandoned(make_document, _id=key, token=token) for key, token in (("a", "t1"), ("b", "t2"), ("c", "t1"))]
    commands, swept = drive(sweep.rescue(context), found[:1], found, matched(2), matched(1))
    assert swept.moved == 3
    for update, keys, token in zip(commands[2:], ({"$in": ["a", "c"]}, "b"), ("t1", "t2"), strict=True):
        where, change = update.where, update.update
        assert (where["_id"], where["hold.token"], where["state"]) == (keys, token, TaskState.RUNNING)
        assert where["hold.until"] == {"$lte": NOW - filters.SKEW}, "its holder may have renewed meanwhile"
        assert change["$set"]["state"] == TaskState.READY
        assert change["$inc"] == {"version": 1, "uncharged": 1, "lost_leases": 1}
        assert "last_token" not in change["$set"], "nobody's ending"


def test_a_suspect_that_is_lost_again_pays_and_waits(drive: Drive, context: Context, make_document: Make) -> None:
    found = [abandoned(make_document, lost_leases=2, attempts=3, uncharged=2)]
    commands, swept = drive(sweep.rescue(context), found, found, matched(1))
    where, change = commands[2].where, commands[2].update
    assert where["hold.token"] == "t1"
    assert change["$set"]["state"] == TaskState.SCHEDULED
    assert change["$set"]["run_at"] == NOW + 10 * SECOND
    assert "uncharged" not in change["$inc"]
    assert swept.moved == 1


def test_a_lost_task_that_somebody_cancelled_is_cancelled(drive: Drive, context: Context, make_document: Make) -> None:
    found = [abandoned(make_document, cancel_requested=True)]
    commands, swept = drive(sweep.rescue(context), found, found, found, matched(1))
    assert commands[3].update["$set"]["state"] == TaskState.CANCELLED
    [(task, verdict)] = swept.ended
    assert (task.key, verdict.event) == (found[0]["_id"], Event.CANCEL)


def test_a_callable_backoff_that_raises_does_not_keep_lost_tasks_from_their_rescue(
    drive: Drive, make_context: Callable[..., Context], make_document: Make
) -> None:
    def broken(attempt: int) -> float:
        raise ZeroDivisionError

    found = [abandoned(make_document, _id="a", lost_leases=2), abandoned(make_document, _id="b")]
    _, swept = drive(sweep.rescue(make_context(backoff=broken)), found[:1], found, matched(1), matched(1))
    assert swept.moved == 2


def test_the_sweeper_leaves_alone_for_a_while_what_a_transaction_holds(drive: Drive, context: Context) -> None:
    first = [{"_id": "a", "run_at": NOW}]
    replies: list[Any] = [[first, first, NO_REPLY, first, CONFLICT, None, CONFLICT], [[]], [[]], [[]], [], []]
    sent: list[Any] = []

    def run(operation: Any) -> Any:
        commands, result = drive(operation, *replies.pop(0))
        sent.extend(commands)
        return result

    sweeper = Sweeper(Runtime(context, run, "w", Telemetry()), watched=lambda: False)
    sweeper.step(elapsed())
    replies.append([first, [*first, {"_id": "b"}], matched(1)])
    sweeper.look_ahead()
    sweeper.step(elapsed())
    assert sent[-1].where["_id"] == "b"
    assert sent[-2].limit == sweep.BATCH + 1, "those avoided take no place of the others"


@pytest.mark.parametrize(
    "first, seconds, least, most, why",
    [
        ([], 60, 5, 9, "nothing is running"),
        ([Swept(1, SECOND * 0), Swept(0, None)], 60, 5, 10, "it had run out before this worker began to look"),
        ([Swept(0, None), Swept(1, SECOND * 0), Swept(0, None)], 60, 50, 90, "one ran out that no look had met"),
        ([Swept(0, 3 * SECOND)], 60, 25, 60, "one has 2 s left"),
        ([Swept(0, 9 * SECOND), Swept(1, SECOND * 0), Swept(0, None)], 60, 6, 12, "it was seen coming"),
        ([Swept(0, 3 * SECOND)], 3_600, 400, 800, "after a while without any short lease looks are rare again"),
    ],
)
def test_leases_that_are_short_are_looked_at_more_closely(
    context: Context,
    *,
    first: list[Swept],
    seconds: float,
    least: int,
    most: int,
    why: str,
) -> None:
    now = 1_000.0
    replies, looks = list(first), 0

    def run(operation: Any) -> Swept:
        nonlocal looks
        if operation.__name__ != "rescue":
            return Swept(0, None)
        looks += 1
        return replies.pop(0) if replies else Swept(0, None)

    sweeper = Sweeper(Runtime(context, run, "w", Telemetry(), elapsed=lambda: now), watched=lambda: False)
    while now < 1_000 + seconds:
        now += sweeper.step(now)
    assert least <= looks <= most, why
