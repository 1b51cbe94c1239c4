"""A handler's own transaction whose commit nobody hears of, or whose primary goes: its writes and the completion of
its task are both there or both not, and the effect happens once (F16).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mongoq import Queue, StorageUnavailable, Task, TaskState
from proving.cluster import Cluster
from proving.network import Then
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]

TASKS = 5


class Effects:
    """A worker each of whose handlers makes one row, in one transaction with the completion; a failure is final."""

    def __init__(self, queue: Queue, until: Until) -> None:
        self.queue = queue
        self.runs: list[str] = []
        self.in_between: Callable[[], object] = lambda: None
        self._until = until
        self._rows = queue._base.driver.connection.database[f"{queue.namespace}.rows"]
        self._rows.insert_one({"_id": "first"})  # no collection is made in the middle of a transaction

    def run(self) -> None:
        """Run the tasks to their ends."""
        keys = sorted(task.key for task in self.queue.new_many([{}] * TASKS))
        handle = self.queue.start(self._handle, workers=1)
        self._until(self._ended, timeout=60, why="all have ended")
        handle.stop(5)
        assert sorted(row["task"] for row in self._rows.find({"task": {"$exists": True}})) == keys, "rows and tasks"

    def _handle(self, task: Task) -> None:
        self.runs.append(task.key)
        with self.queue.transaction(task) as session:
            self._rows.insert_one({"task": task.key}, session=session)
            in_between, self.in_between = self.in_between, lambda: None
            in_between()
            self._rows.update_one({"task": task.key}, {"$set": {"done": True}}, session=session)

    def _ended(self) -> bool:
        with suppress(StorageUnavailable):
            return all(task.finished for task in self.queue.tasks())
        return False

    @property
    def ends(self) -> set[tuple[Any, ...]]:
        """How the tasks ended: state, attempts that count, failures."""
        return {(task.state, task.charged, task.retries) for task in self.queue.tasks()}


@pytest.fixture
def effects(make_queue: Callable[..., Queue], until: Until) -> Effects:
    return Effects(make_queue(lease=30, max_retries=0), until)


ONCE = {(TaskState.COMPLETED, 1, 0)}


@pytest.mark.parametrize(
    "times, then",
    [
        pytest.param(1, "close", marks=pytest.mark.long),
        (2, "close"),
        pytest.param(4, "close", marks=pytest.mark.long),
        (1, "kill"),
    ],
    ids=["1", "2", "4", "its primary killed"],
)
def test_a_transaction_whose_commit_is_not_answered_takes_effect_once(
    *, cluster: Cluster, effects: Effects, figure: Figure, times: int, then: Then
) -> None:
    old = cluster.primary()
    cluster.network.lose_replies(times, "commitTransaction", then=then)
    effects.run()
    assert cluster.network.lost == times
    killed = ", its primary killed" if then == "kill" else ""
    figure("F16", f"{times} replies to commitTransaction lost{killed}: {TASKS} rows, {len(effects.runs)} runs")
    assert (old.pid is None) == bool(killed)
    assert effects.ends == ONCE
    assert len(effects.runs) == TASKS


@pytest.mark.parametrize("how", long_but_for(["killed"], ["stepped down", "killed"]))
def test_a_transaction_whose_primary_goes_in_the_middle_takes_effect_once(
    *, cluster: Cluster, effects: Effects, figure: Figure, how: str
) -> None:
    primary = cluster.primary()
    effects.in_between = cluster.step_down if how == "stepped down" else primary.kill
    effects.run()
    again = len(effects.runs) - TASKS
    figure("F16", f"primary {how} in the middle of a transaction: {TASKS} rows, {again} task run again, uncharged")
    assert effects.ends == ONCE
    assert again == 1
