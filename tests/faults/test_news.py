"""The news that an idle worker listens for breaks off: it costs at most one poll (F13).

On a server of this module's own that fails when it is asked to.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import Queue
from proving.cluster import Cluster
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]

DATABASE = "mongoq"
POLL = 5.0
HISTORY_LOST = {"errorCode": 286, "errorLabels": ["NonResumableChangeStreamError"]}


class Watched:
    """A namespace whose change stream is watched, and what may happen to that."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._tasks = f"{namespace}.tasks"
        self._client = cluster.primary().client

    def rename(self) -> None:
        """Give the collection another name, and its own again: to those who watch it that is its end."""
        self._client[DATABASE][self._tasks].rename(f"{self._tasks}.away")
        self._client[DATABASE][f"{self._tasks}.away"].rename(self._tasks)

    def kill(self) -> None:
        """Kill the cursor, as its server does that is short of memory or an operator who tidies up."""
        cursors = self._cursors()
        reply = self._client[DATABASE].command("killCursors", self._tasks, cursors=cursors)
        assert reply["cursorsKilled"] == cursors != []

    def lose_history(self) -> None:
        """Kill the cursor, and let the driver that resumes it learn that the oplog begins later by now."""
        cursors = self._cursors()
        how = {"failCommands": ["aggregate"], "namespace": f"{DATABASE}.{self._tasks}", **HISTORY_LOST}
        self._client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=how)
        self._client[DATABASE].command("killCursors", self._tasks, cursors=cursors)

    @property
    def failed(self) -> int:
        """How many commands were made to fail."""
        return int(self._client.admin.command("configureFailPoint", "failCommand", mode="off")["count"])

    def _cursors(self) -> list[int]:
        mine = {"ns": f"{DATABASE}.{self._tasks}", "cursor.tailable": True}
        stages: list[dict[str, Any]] = [{"$currentOp": {"idleCursors": True}}, {"$match": mine}]
        return [operation["cursor"]["cursorId"] for operation in self._client.admin.aggregate(stages)]


FAULTS: dict[str, tuple[Callable[[Watched], None], bool]] = {
    "its collection is renamed": (Watched.rename, True),
    "its cursor is killed": (Watched.kill, False),
    "its history is lost": (Watched.lose_history, True),
}
"""What happens, and whether mongoq has to open a stream anew: what can be resumed the driver resumes."""


@pytest.fixture(scope="module")
def fallible() -> Iterator[Cluster]:
    with Cluster(members=1, parameters={"enableTestCommands": 1}) as cluster:
        yield cluster


@pytest.mark.parametrize("what", long_but_for(["its cursor is killed", "its history is lost"], FAULTS))
def test_an_idle_worker_whose_news_breaks_off_starts_the_next_task_within_a_poll(
    fallible: Cluster, until: Until, figure: Figure, what: str
) -> None:
    fault, ends = FAULTS[what]
    namespace = f"f-{secrets.token_hex(4)}"
    heard: list[str] = []
    started: dict[str, float] = {}

    def watching() -> int:
        return heard.count("wakeups.watching")

    with Queue(fallible.uri, namespace=namespace, grace=0) as queue, Queue(fallible.uri, namespace=namespace) as other:
        queue.telemetry.subscribe(lambda name, _: heard.append(name))
        queue.init()
        handle = queue.start(lambda task: started.setdefault(task.key, time.monotonic()))
        until(watching, why="it listens for news")
        watched = Watched(fallible, namespace)
        fault(watched)
        made = {other.new().key: time.monotonic()}  # another process's: it wakes nobody here
        until(lambda: started, why="it starts")
        until(lambda: watching() > ends, why="it listens again")
        made[other.new().key] = time.monotonic()
        until(lambda: len(started) == len(made), why="it starts the next one")
        handle.stop(0)
    late = [started[key] - made[key] for key in made]
    figure("F13", f"{what}: the next tasks start after {late[0]:.2f} and {late[1]:.2f} s")
    assert watched.failed == (what == "its history is lost")
    assert max(late) <= POLL + 1
