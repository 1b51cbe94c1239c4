"""Processes under a rate limit, some of which are killed or frozen: no stretch has more starts than the limit says."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer
from tests.proofs.limited_crew import Crew

pytestmark = pytest.mark.long  # leases have to run out

RATE, BURST = 200, 10
TASKS = 4_000
PROCESSES = 6
SECOND = 10**9


class Grants:
    """Every start that tasks were claimed with, by the news of the server: an instant of its clock."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._last: dict[str, int] = {}
        self.spent: dict[tuple[str, int], int] = {}
        """By the key of a task and the number of its claim."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def end(self) -> None:
        """Read on until nothing more comes."""
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while (news := self._stream.try_next()) is not None or not self._over.is_set():
            if news is not None and news["operationType"] == "update":
                self._note(news["documentKey"]["_id"], news["updateDescription"]["updatedFields"])

    def _note(self, key: str, changed: dict[str, Any]) -> None:
        hold = changed.get("hold")
        if isinstance(hold, dict) and hold.get("starts"):
            self._last[key] = self._last.get(key, 0) + 1
            self.spent[key, self._last[key]] = hold["starts"][0]["at"]
        elif changed.get("state") == "ready" and "lost_leases" not in changed:
            self.spent.pop((key, self._last.get(key, 0)), None)  # given back: another may have got it


def most_within(instants: list[int], length: int) -> int:
    instants = sorted(instants)
    most = first = 0
    for last, at in enumerate(instants):
        while instants[first] <= at - length:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_no_second_has_more_starts_than_the_rate_whatever_is_killed_or_frozen(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    chance = random.Random(11)  # noqa: S311 -- no secret
    namespace = f"t-{secrets.token_hex(4)}"
    with Queue(server.uri, namespace=namespace, lease=2) as queue, MongoClient[dict[str, Any]](server.uri) as client:
        queue.limit("rate", rate=RATE, burst=BURST)
        queue.new_many(({"group": "all", "n": n, "seconds": 0.002} for n in range(TASKS)), limits="rate")
        with client["mongoq"][f"{namespace}.tasks"].watch(max_await_time_ms=200) as stream:
            grants, crew = Grants(stream), Crew(server.uri, namespace, tmp_path)
            try:
                for _ in range(PROCESSES):
                    crew.start()
                for _ in range(12):
                    if queue.empty():
                        break
                    crew.meddle(chance, 3.0)  # longer than a lease, too
                until(queue.empty, 240, "all is done")
            finally:
                crew.end()
                grants.end()
    lines = [line.split() for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert {int(n) for what, _, n, _ in lines if what == "end"} == set(range(TASKS)), "nothing is lost"
    assert len(grants.spent) >= TASKS
    assert len(set(grants.spent.values())) > TASKS / BURST, "they are instants of their own"
    assert most_within(list(grants.spent.values()), SECOND) <= RATE + BURST - 1
