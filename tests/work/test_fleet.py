"""Several idle workers of one namespace: few watch, the others sleep and are called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue, Task
from mongoq.core.fleet import WATCHERS
from mongoq.embedded.server import EmbeddedServer
from mongoq.worker.fleet.view import FleetView

Make = Callable[..., Queue]
Until = Callable[..., None]


class Fleet:
    """Workers in one namespace, each with a queue object of its own, and what became of their tasks."""

    def __init__(self, make_queue: Make, namespace: str, until: Until) -> None:
        self._make, self._namespace, self._until = make_queue, namespace, until
        self.views: list[FleetView] = []
        self.handles: list[Any] = []
        self.started: dict[str, int] = {}
        self.events: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def add(self, count: int, **options: Any) -> None:
        """Start so many."""
        for _ in range(count):
            queue = self._make(namespace=self._namespace, workers=1)
            queue.telemetry.subscribe(lambda name, _: self.events.append(name))
            number = len(self.handles)
            handle = queue.start(lambda task, number=number: self._work(task, number), **options)
            self.handles.append(handle)
            self.views.append(handle._engine._watcher._view)

    def _work(self, task: Task, number: int) -> None:
        self.started[task.key] = number
        self.gate.wait(30)

    def parts(self) -> list[str]:
        """What each does."""
        return [view.part.value for view in self.views]

    def settle(self, watching: int, sleeping: int) -> None:
        """Wait until so many watch and all others sleep."""
        expected = ["sleeping"] * sleeping + ["watching"] * watching
        self._until(lambda: sorted(self.parts()) == expected, timeout=30, why=f"{watching} watch")
        watchers = [view for view in self.views if view.part.value == "watching"]
        known = lambda: all(len(view.others) == watching + sleeping - 1 for view in watchers)  # noqa: E731
        self._until(known, timeout=30, why="the watchers know of all others")

    def number(self, part: str) -> int:
        """One that does this."""
        return self.parts().index(part)


@pytest.fixture(autouse=True)
def _no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody find by a poll what it is to be told."""
    monkeypatch.setattr("mongoq.worker.services.watcher.FIRST_POLL", 60.0)
    monkeypatch.setattr("mongoq.worker.fleet.watcher.LONGEST_POLL", 60.0)
    monkeypatch.setattr("mongoq.worker.fleet.watcher.LONGEST_POLL_WATCHED", 60.0)
    monkeypatch.setattr("mongoq.worker.fleet.watcher.LONGEST_POLL_CALLED", 60.0)


@pytest.fixture
def producer(make_queue: Make, queue: Queue) -> Queue:
    return make_queue(namespace=queue.namespace)


@pytest.fixture
def fleet(make_queue: Make, queue: Queue, until: Until) -> Iterator[Fleet]:
    fleet = Fleet(make_queue, queue.namespace, until)
    yield fleet
    fleet.gate.set()


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client["mongoq"]


def test_of_many_idle_workers_a_few_watch_and_the_others_sleep(fleet: Fleet, producer: Queue, until: Until) -> None:
    fleet.add(WATCHERS + 3)
    fleet.settle(WATCHERS, 3)
    key = producer.new().key
    until(lambda: key in fleet.started, why="a watcher takes it")


def test_sleepers_are_called_to_what_the_watchers_cannot_take(fleet: Fleet, producer: Queue, until: Until) -> None:
    fleet.add(WATCHERS + 3)
    fleet.settle(WATCHERS, 3)
    fleet.gate.clear()
    producer.new_many({"n": n} for n in range(WATCHERS + 3))
    until(lambda: len(fleet.started) == WATCHERS + 3, why="all work, long before a poll")
    assert sorted(fleet.started.values()) == list(range(WATCHERS + 3)), "one task each"
    until(lambda: "wakeups.called" in fleet.events, why="the sleepers were called")


def test_a_watcher_that_is_busy_hands_over(fleet: Fleet, producer: Queue, until: Until) -> None:
    fleet.add(WATCHERS + 2)
    fleet.settle(WATCHERS, 2)
    fleet.gate.clear()
    for number in range(1, WATCHERS + 1):
        producer.new()
        until(lambda count=number: len(fleet.started) == count, why="it has started")
        busy = WATCHERS + 2 - number
        until(
            lambda left=busy: sorted(fleet.parts()).count("watching") == min(WATCHERS, left),
            why="a sleeper has taken over",
        )


def test_a_watcher_that_stops_is_replaced(fleet: Fleet, until: Until) -> None:
    fleet.add(WATCHERS + 1)
    fleet.settle(WATCHERS, 1)
    gone = fleet.number("watching")
    fleet.handles[gone].stop()
    left = [view for number, view in enumerate(fleet.views) if number != gone]
    until(lambda: all(view.part.value == "watching" for view in left), why="the sleeper has taken over")


def test_workers_of_another_queue_are_called_to_tasks_of_theirs(fleet: Fleet, producer: Queue, until: Until) -> None:
    fleet.add(WATCHERS, queues="a")
    fleet.settle(WATCHERS, 0)
    fleet.add(2, queues="b")
    fleet.settle(WATCHERS, 2)
    key = producer.new(queue="b").key
    until(lambda: key in fleet.started, why="one of the others is called")
    assert fleet.started[key] >= WATCHERS


def test_two_namespaces_on_one_client_call_their_own_workers_only(
    server: EmbeddedServer, make_queue: Make, until: Until
) -> None:
    with MongoClient[Any](server.uri, tz_aware=True) as client:
        fleets = []
        for _ in range(2):
            namespace = make_queue().namespace
            fleets.append(Fleet(lambda **options: Queue(client["mongoq"], grace=0, **options), namespace, until))
            fleets[-1].add(WATCHERS + 1)
        for one in fleets:
            one.settle(WATCHERS, 1)
            one.gate.clear()
        with Queue(server.uri, namespace=fleets[0]._namespace) as producer:
            producer.new_many({"n": n} for n in range(WATCHERS + 1))
        until(lambda: len(fleets[0].started) == WATCHERS + 1, why="all of one namespace work")
        assert fleets[1].parts().count("sleeping") == 1
        assert "wakeups.called" not in fleets[1].events
        for one in fleets:
            one.gate.set()
            for handle in one.handles:
                handle.stop(0)


@pytest.mark.parametrize("how", ["dropped", "an ordinary collection"])
def test_signals_that_were_lost_come_again(
    fleet: Fleet, producer: Queue, until: Until, database: Any, how: str
) -> None:
    name = f"{producer.namespace}.signals"
    if how != "dropped":
        database.create_collection(name)
    fleet.add(WATCHERS + 1)
    fleet.settle(WATCHERS, 1)
    if how == "dropped":
        for cursor in database.client.admin.aggregate(
            [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": f"mongoq.{name}", "cursor.tailable": True}}]
        ):
            database.command("killCursors", name, cursors=[cursor["cursor"]["cursorId"]])
        database.drop_collection(name)
    until(lambda: database.command("collStats", name).get("capped"), why="it is there again")
    fleet.settle(WATCHERS, 1)
    fleet.gate.clear()
    producer.new_many({"n": n} for n in range(WATCHERS + 1))
    until(lambda: len(fleet.started) == WATCHERS + 1, why="the sleeper was called")


ODD_HEARTBEATS: list[dict[str, Any]] = [
    {"_id": "note", "text": "somebody else's"},
    {"_id": 7, "seen_at": None, "started_at": None},
    {"place": float(1), "idle": True, "queues": 5, "covers": "all", "names": {"a": 1}, "workers": "many", "host": 9},
]


def test_documents_of_others_among_the_heartbeats_stop_nobody(
    queue: Queue, collection: Any, until: Callable[..., None]
) -> None:
    heartbeats = collection.database[f"{queue.namespace}.workers"]
    now = queue.time()
    for odd in ODD_HEARTBEATS:
        heartbeats.insert_one({"seen_at": now, "started_at": now, **odd})
    handles = [queue.start(lambda task: None) for _ in range(2)]
    until(lambda: len(queue.workers()) == 3, why="both are listed, beside the one that is nearly one")
    assert {handle.id for handle in handles} < {one.id for one in queue.workers()}
    keys = [queue.new().key for _ in range(5)]
    until(lambda: all(queue.get(key).finished for key in keys), why="all are done")
