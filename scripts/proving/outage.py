"""A queue in use while its primary fails: who was told what, and for how long nothing went on."""

from __future__ import annotations

import itertools
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

import pymongo
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from mongoq import Queue, StorageUnavailable
from proving.cluster import Cluster
from proving.fault_fleet import FaultWorker

__all__ = ["Producers", "longest_pause", "seconds_without_majority"]

_LIMITS: Final[dict[str, Any]] = {"serverSelectionTimeoutMS": 200, "connectTimeoutMS": 500, "socketTimeoutMS": 500}


class Producers:
    """Threads that enqueue numbered tasks, and call again where they were not told that one exists."""

    def __init__(self, queue: Queue, threads: int, tasks: int) -> None:
        self.acknowledged: dict[str, float] = {}
        """When each key was said to be enqueued."""
        self.errors = 0
        """How often it was left open."""
        self._queue = queue
        self._left = list(range(tasks))
        self._threads = [threading.Thread(target=self._enqueue) for _ in range(threads)]

    def _enqueue(self) -> None:
        while self._left:
            key = f"n{self._left.pop()}"
            while key not in self.acknowledged:
                try:
                    self._queue.new({"seconds": 0.01}, key=key, on_conflict="skip")
                    self.acknowledged[key] = time.monotonic()
                except StorageUnavailable:
                    self.errors += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._left.clear()
        for thread in self._threads:
            thread.join()


def seconds_without_majority(cluster: Cluster, since: float, limit: float = 30) -> float:
    """Wait until some member takes a write that a majority confirms; how long that was after `since`.

    This is what the servers need by themselves, a client that knows where to ask included. It goes past the
    proxies, to the members that others can reach.
    """
    while time.monotonic() - since < limit:
        for member in cluster.members:
            if not (member.isolated or member.frozen) and member.pid and _takes_a_write(member.port):
                return time.monotonic() - since
        threading.Event().wait(0.02)
    raise TimeoutError(f"no majority within {limit:g} s")


def _takes_a_write(port: int) -> bool:
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient("127.0.0.1", port, directConnection=True, retryWrites=False, **_LIMITS) as client:
        try:
            database = client.get_database("proving", write_concern=WriteConcern("majority", wtimeout=400))
            database["marks"].insert_one({})
        except PyMongoError:
            return False
    return True


def longest_pause(workers: list[FaultWorker], since: float) -> float:
    """The longest time between two moments at which endings were written, around and after `since`."""
    at = sorted(line["at"] for worker in workers for line in worker.lines("tasks.finished"))
    pauses: list[float] = [later - earlier for earlier, later in itertools.pairwise(at) if later > since]
    return max(pauses)
