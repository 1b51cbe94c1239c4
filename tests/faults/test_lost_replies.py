"""The server does what it is asked and nobody learns it: nothing happens twice, and nothing is lost (F6, F7)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from mongoq import NewTask, Queue, StorageUnavailable, Task, TaskState
from proving.cluster import Cluster
from proving.network import Then
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]

TIMES = long_but_for([2], [1, 2, 6])
"""The driver itself survives one lost reply to most commands; from the second on it is mongoq's business."""


def again(call: Callable[[], Any]) -> Any:
    """Do as the documentation says: call again where it was left open whether something was done."""
    for _ in range(10):
        with suppress(StorageUnavailable):
            return call()
    return pytest.fail("it never ended")


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("many", [False, True], ids=["new", "new_many"])
def test_enqueueing_again_after_lost_replies_makes_no_second_task(
    *, cluster: Cluster, queue: Queue, figure: Figure, many: bool, times: int
) -> None:
    keys = [f"k{number}" for number in range(5 if many else 1)]
    queue.new(key="first")
    cluster.network.lose_replies(times, "insert")
    if many:
        with suppress(StorageUnavailable):
            queue.new_many([NewTask(key=key) for key in keys])
    made = [again(partial(queue.new, key=key, on_conflict="skip")) for key in keys]
    assert cluster.network.lost == times
    assert [task.key for task in made] == keys
    assert {task.key for task in queue.tasks()} == {"first", *keys}
    figure("F6", f"{times} replies to insert lost: {queue.size() - 1} tasks of {len(keys)}")


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("command", ["findAndModify", None], ids=["findAndModify", "everything"])
def test_a_claim_whose_replies_were_lost_is_held_by_its_claimant_or_given_back(
    *, cluster: Cluster, make_queue: Callable[..., Queue], until: Until, figure: Figure, command: str | None, times: int
) -> None:
    queue = make_queue(lease=1)
    key = queue.new().key
    cluster.network.lose_replies(times, command)
    held: list[Task] = []

    def claimed() -> bool:
        with suppress(StorageUnavailable):
            task = queue.try_claim()
            held.extend([task] if task else [])
        return bool(held)

    until(claimed, why="it is claimed in the end")
    cluster.network.lose_replies(0)
    (task,) = held
    figure("F6", f"{times} replies to {command or 'everything'} lost in a claim: held after {task.attempts} attempts")
    assert task.attempts <= 2
    assert task.charged == 1, "a lost reply cost an attempt"
    queue.complete(task)
    assert queue.get(key).state is TaskState.COMPLETED


@pytest.mark.parametrize("times", long_but_for([2], [2, 6]))
@pytest.mark.parametrize(
    "command, keep, do",
    [
        ("update", 60, "return"), ("delete", 0, "return"),
        pytest.param("update", 60, "result", marks=pytest.mark.long), (None, 60, "return"), ("find", 60, "return"),
    ],
    ids=["claims and endings", "deleting endings", "endings with results", "everything", "finds"],
)  # fmt: skip
def test_a_worker_whose_replies_are_lost_runs_every_task_once(
    *, cluster: Cluster, make_queue: Callable[..., Queue], until: Until, figure: Figure,
    command: str | None, keep: float, do: str, times: int,
) -> None:  # fmt: skip
    queue = make_queue(keep_completed=keep, lease=5)
    keys = [task.key for task in queue.new_many([{"n": number} for number in range(100)])]
    runs: Counter[str] = Counter()

    def handler(task: Task) -> str | None:
        runs[task.key] += 1
        threading.Event().wait(0.01)  # so that endings come in more batches than there are replies to lose
        return task.key if do == "result" else None

    cluster.network.lose_replies(times, command)
    handle = queue.start(handler, workers=2)
    until(lambda: len(runs) == 100 and not queue.tasks(state="running"), why="all have run")
    lost = cluster.network.lost
    cluster.network.lose_replies(0)
    handle.stop(5)

    left = queue.tasks(limit=None)
    figure("F6", f"{lost} replies to {command or 'everything'} lost: {len(runs)} tasks ran, {sum(runs.values())} runs")
    assert lost == times
    assert set(runs) == set(keys)
    assert {task.key: task.state for task in left} == (dict.fromkeys(keys, TaskState.COMPLETED) if keep else {})
    assert set(runs.values()) == {1}


def test_a_renewal_whose_replies_are_lost_keeps_its_lease(
    cluster: Cluster, make_queue: Callable[..., Queue], until: Until, figure: Figure
) -> None:
    queue = make_queue(lease=3)
    lost: list[str] = []
    renewed: list[float] = []

    def listen(name: str, fields: Any) -> None:
        if name == "task.lease_lost":
            lost.append(fields["key"])
        if name == "tasks.renewed":
            renewed.append(fields["until"])

    queue.telemetry.subscribe(listen)
    queue.new(key="k")
    started: list[int] = []

    def handler(task: Task) -> None:
        started.append(task.attempts)
        cluster.network.lose_replies(4, "update")
        until(lambda: cluster.network.lost == 4 and len(renewed) >= 3, why="it is renewed all the same")

    handle = queue.start(handler)
    until(lambda: queue.get("k").state is TaskState.COMPLETED, why="it is completed")
    handle.stop(0)
    figure("F6", f"4 replies to renewals lost: {len(started)} run, {len(lost)} leases lost")
    assert (started, lost) == ([1], [])


@pytest.mark.parametrize(
    "command",
    long_but_for(["insert", "findAndModify", "update"], ["insert", "findAndModify", "update", "delete"]),
)
def test_a_primary_that_dies_with_its_reply_has_done_it_once(
    *, cluster: Cluster, make_queue: Callable[..., Queue], until: Until, figure: Figure, command: str
) -> None:
    then: Then = "kill"
    queue = make_queue(lease=60, keep_completed=0 if command == "delete" else 60)
    keys = {"insert": [], "findAndModify": ["k"]}.get(command, [f"k{number}" for number in range(20)])
    for key in keys:
        queue.new(key=key)
    old = cluster.primary()
    cluster.network.lose_replies(1, command, then=then)
    if command == "insert":
        again(lambda: queue.new(key="k", on_conflict="skip"))
        assert [task.key for task in queue.tasks()] == ["k"]
    elif command == "findAndModify":
        task = again(queue.try_claim)
        assert (task.key, task.attempts) == ("k", 1)
        queue.complete(task)
    else:
        runs: Counter[str] = Counter()
        handle = queue.start(lambda task: runs.update([task.key]))
        until(
            lambda: len(runs) == 20 and not _unfinished(queue),
            timeout=45,
            why="all are completed before any lease has run out",
        )
        handle.stop(5)
        assert runs == Counter(keys)
    assert cluster.network.lost == 1
    assert old.pid is None
    figure("F7", f"reply to {command} lost, its primary killed: done once")


def _unfinished(queue: Queue) -> list[Task]:
    with suppress(StorageUnavailable):
        return [task for task in queue.tasks() if not task.finished]
    return [pytest.fail("no list")]
