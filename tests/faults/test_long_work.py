"""Long work under a network that falls silent and a primary that goes: noticed within seconds, and finished (F21)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from mongoq import AsyncQueue, NewTask, Progress, Queue, StorageUnavailable
from mongoq.storage.documents import indexes
from mongoq.storage.operations import schema
from mongoq.storage.operations.long_work.builds import Patience
from proving.cluster import Cluster
from proving.member import Member
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]
HELD = "hangAfterStartingIndexBuild"
SLOW = "waitInFindBeforeMakingBatch"
ANY = {"$type": "string"}
TASKS = 2_000


@pytest.fixture
def unindexed(cluster: Cluster, queue: Queue) -> Queue:
    """Give a queue whose collection holds tasks and no index."""
    queue.new_many([NewTask({"n": n}) for n in range(TASKS)])
    collection(cluster, queue).drop_indexes()
    return queue


def collection(cluster: Cluster, queue: Queue) -> Any:
    return cluster.primary().client["mongoq"][f"{queue.namespace}.tasks"]


def ready(cluster: Cluster, queue: Queue) -> set[str]:
    """The names of the indexes that are built."""
    listed = collection(cluster, queue).database.command(
        "listIndexes", f"{queue.namespace}.tasks", includeBuildUUIDs=True
    )
    return {index["name"] for index in listed["cursor"]["firstBatch"] if "buildUUID" not in index}


class Builds:
    """Holds the builds of indexes up, on all members."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def hold(self) -> None:
        self._set("alwaysOn")

    def let_go(self) -> None:
        self._set("off")

    def _set(self, mode: str) -> None:
        for member in self._cluster.members:
            with suppress(PyMongoError):  # a frozen one is thawed before the next test
                member.ask("configureFailPoint", HELD, mode=mode)


@pytest.fixture
def builds(cluster: Cluster) -> Iterator[Builds]:
    builds = Builds(cluster)
    yield builds
    cluster.restore()
    builds.let_go()


@pytest.fixture
def beside() -> Callable[..., Future[Any]]:
    """Give `beside(call)`: it runs in a daemon thread, so that one that never returns holds up no test run."""

    def start(call: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 -- raised where the result is asked for
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future

    return start


async def awaited_init(uri: str, namespace: str, on_progress: Callable[[Progress], None]) -> list[str]:
    async with AsyncQueue(uri, namespace=namespace) as queue:
        return await queue.init(on_progress=on_progress)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("silent", ["hang", "swallow"])
def test_init_finishes_on_a_connection_that_fell_silent(
    *, cluster: Cluster, unindexed: Queue, builds: Builds, beside: Any, until: Until, figure: Figure,
    silent: Any, awaited: bool,
) -> None:  # fmt: skip
    told: list[Progress] = []
    builds.hold()
    cluster.network.lose_replies(1, "createIndexes", then=silent)
    if awaited:
        init = beside(lambda: asyncio.run(awaited_init(cluster.uri, unindexed.namespace, told.append)))
    else:
        init = beside(lambda: unindexed.init(on_progress=told.append))
    until(lambda: any(one.done == TASKS for one in told), why="the build is watched")
    assert not init.done()
    builds.let_go()
    began = time.monotonic()
    made = init.result(60)
    figure(
        "F21", f"init came back {time.monotonic() - began:.1f} s after its build; its connection was dead ({silent})"
    )
    assert {name.rpartition(".")[2] for name in made} == set(indexes.TASKS)
    assert ready(cluster, unindexed) == {"_id_", *indexes.TASKS}
    assert told[-1].total == TASKS
    assert told[-1].work.startswith(f"{unindexed.namespace}.tasks: claim")


FAULTS: dict[str, Callable[[Cluster, Member], object]] = {
    "steps down": lambda cluster, _: cluster.step_down(),
    "is killed": lambda _, primary: primary.kill(),
    "freezes": lambda _, primary: primary.freeze(),
    "is cut off": lambda _, primary: primary.cut(),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", long_but_for(["steps down", "freezes"], FAULTS))
def test_init_finishes_on_the_next_primary_where_its_own(
    *, cluster: Cluster, unindexed: Queue, builds: Builds, beside: Any, until: Until, figure: Figure, how: str
) -> None:
    told: list[Progress] = []
    builds.hold()
    init = beside(lambda: unindexed.init(on_progress=told.append))
    until(lambda: told, why="the build is watched")
    primary = cluster.primary()
    FAULTS[how](cluster, primary)
    began = time.monotonic()
    until(lambda: cluster.has_primary() and cluster.primary() is not primary, why="another is primary")
    heard = len(told)
    until(lambda: len(told) > heard, why="the build is watched on the next primary")
    figure("F21", f"primary {how}: init watches the build on the next one after {time.monotonic() - began:.1f} s")
    builds.let_go()
    init.result(60)
    assert ready(cluster, unindexed) == {"_id_", *indexes.TASKS}


@pytest.mark.timeout(120)
def test_a_second_init_waits_for_the_build_of_one_that_was_broken_off(
    cluster: Cluster, unindexed: Queue, builds: Builds, beside: Any, until: Until
) -> None:
    builds.hold()

    def enough(_: Progress) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        unindexed.init(on_progress=enough)
    told: list[Progress] = []
    again = beside(lambda: unindexed.init(on_progress=told.append))
    until(lambda: told, why="it is watched")
    assert not again.done()
    builds.let_go()
    again.result(60)
    assert ready(cluster, unindexed) == {"_id_", *indexes.TASKS}


@pytest.mark.timeout(120)
def test_a_first_use_does_not_wait_for_ever_for_the_build_of_another(
    cluster: Cluster, unindexed: Queue, builds: Builds, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "AT_FIRST_USE", Patience(looks=2))
    builds.hold()
    with Queue(cluster.uri, namespace=unindexed.namespace) as another:
        new = beside(lambda: another.new(unique="u"))
        with pytest.raises(StorageUnavailable, match=r"still being built.*mongoq init"):
            new.result(60)


READS: dict[str, tuple[str, Callable[[Queue], object], object]] = {
    "count": ("aggregate", lambda queue: queue.count(where={"n": 1}), 1),
    "size": ("aggregate", lambda queue: queue.size(), TASKS),
    "stats": ("aggregate", lambda queue: queue.queues(), {"default": TASKS}),
    "tasks": ("find", lambda queue: len(queue.tasks(limit=None, payload=False)), TASKS),
    "cancel": ("find", lambda queue: queue.cancel_all(queue="default"), TASKS),
    "delete": ("getMore", lambda queue: queue.delete_all(queue="default"), TASKS),
    "rerun": ("find", lambda queue: queue.rerun_all(), 0),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("silent", ["hang", "swallow"])
@pytest.mark.parametrize("read", READS)
def test_a_long_read_on_a_connection_that_fell_silent_is_made_on_another(
    *, cluster: Cluster, queue: Queue, beside: Any, figure: Figure, read: str, silent: Any
) -> None:
    command, call, expected = READS[read]
    queue.new_many([NewTask({"n": n}) for n in range(TASKS)])
    cluster.network.lose_replies(1, command, then=silent)
    began = time.monotonic()
    assert beside(lambda: call(queue)).result(60) == expected
    assert cluster.network.lost == 1
    figure("F21", f"{read} came back after {time.monotonic() - began:.1f} s; its connection was dead ({silent})")


@pytest.mark.timeout(120)
def test_a_read_whose_replies_are_lost_again_is_made_once_more(
    cluster: Cluster, queue: Queue, beside: Any, figure: Figure
) -> None:
    """The second read is watched: the server does not work on it any more, and no reply came."""
    queue.new_many([NewTask({"n": n}) for n in range(TASKS)])
    cluster.network.lose_replies(2, "find", then="hang")
    began = time.monotonic()
    assert len(beside(lambda: queue.tasks(limit=None)).result(60)) == TASKS
    assert cluster.network.lost == 2
    figure("F21", f"a list came back after {time.monotonic() - began:.1f} s; two connections were dead")


@pytest.mark.timeout(120)
def test_a_read_that_takes_the_server_long_is_waited_for(
    cluster: Cluster, queue: Queue, beside: Any, until: Until
) -> None:
    queue.new_many([{}] * 3)
    primary = cluster.primary()
    slow = {"nss": f"mongoq.{queue.namespace}.tasks"}
    primary.ask("configureFailPoint", SLOW, mode="alwaysOn", data=slow)
    try:
        tasks = beside(queue.tasks)
        marked: list[dict[str, Any]] = [
            {"$currentOp": {}},
            {"$match": {"command.find": f"{queue.namespace}.tasks", "command.comment": ANY}},
        ]
        until(lambda: list(primary.client.admin.aggregate(marked)), why="it is watched")
    finally:
        primary.ask("configureFailPoint", SLOW, mode="off")
    assert len(tasks.result(60)) == 3
