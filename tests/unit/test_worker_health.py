"""Health of a worker, the ports that serve it, and log lines that name their task."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mongoq import Queue, Task, WorkerHealth
from mongoq.cli.serving.json_lines import JsonLines
from mongoq.cli.serving.ports import Said, listening
from mongoq.cli.serving.running import TEXT, Lines
from mongoq.contrib.logs import name_tasks
from mongoq.core.clock import ServerClock
from mongoq.core.host.health import together
from mongoq.testing import memory_queue
from mongoq.worker.fleet.health import health_of


@dataclass
class Turning:
    name: str = "fetcher"
    well_at: float = 100.0
    turns: bool = True


def judged(now: float = 100.0, *, stopped: bool = False, ending: bool = False, **loops: Turning) -> WorkerHealth:
    found = {"fetcher": Turning(), "heartbeat": Turning()} | loops
    return health_of(found, now, stopped=stopped, ending=ending)


def test_a_worker_whose_loops_turn_and_whose_server_answers_is_live_and_ready() -> None:
    assert judged(129) == WorkerHealth(live=True, ready=True)


def test_an_outage_makes_a_worker_unready_and_not_dead() -> None:
    found = judged(131)
    assert (found.live, found.ready, found.reason) == (True, False, "MongoDB has not answered for 31 s")
    never = judged(fetcher=Turning(well_at=float("-inf")), heartbeat=Turning(well_at=float("-inf")))
    assert never.reason == "MongoDB has not answered yet"


def test_a_busy_worker_is_ready_by_its_heartbeat_alone() -> None:
    assert judged(1_000, heartbeat=Turning(well_at=990.0)).ready


def test_a_stuck_loop_is_named() -> None:
    found = judged(finisher=Turning(turns=False))
    assert (found.live, found.reason) == (False, "these loops do not turn: finisher")


def test_a_worker_that_ends_is_live_and_not_ready() -> None:
    assert (judged(ending=True).live, judged(ending=True).ready) == (True, False)
    assert not judged(stopped=True).live


def test_several_workers_are_as_healthy_as_the_worst() -> None:
    ill = WorkerHealth(live=False, ready=False, reason="dead")
    assert together([WorkerHealth(live=True, ready=True), ill]) == ill
    assert together([]) == WorkerHealth(live=True, ready=False, reason="no worker runs yet")


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_a_port_serves_its_pages_and_says_which_there_are() -> None:
    def broken(_: str) -> Said:
        raise RuntimeError("mine")

    pages = {"/live": lambda _: Said(503, "application/json", b"{}"), "/broken": broken}
    with listening(0, pages) as port:
        assert asked(port, "/live?verbose") == (503, "{}")
        assert asked(port, "/") == (404, "there are: /live, /broken\n")
        assert asked(port, "/broken")[0] == 500


@pytest.fixture
def written() -> Iterator[list[logging.LogRecord]]:
    """Give the records that pass a log handler of the root logger."""
    records: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keeping()
    logging.root.addHandler(handler)
    yield records
    logging.root.removeHandler(handler)


def logged(queue: Queue) -> None:
    name_tasks(queue)

    @queue.task(queue="mail")
    def welcome(task: Task) -> None:
        logging.getLogger("shop").warning("sent")

    welcome.options(key="k1").new()
    queue.run(burst=True, workers=1)
    logging.getLogger("shop").warning("after")


def test_each_line_of_a_handler_names_its_task(written: list[logging.LogRecord]) -> None:
    with memory_queue(clock=ServerClock()) as queue:
        logged(queue)
    sent, after = [record for record in written if record.name == "shop"]
    facts = {name: value for name, value in vars(sent).items() if name.startswith("task_")}
    assert facts == {"task_key": "k1", "task_name": "welcome", "task_queue": "mail", "task_attempt": 1}
    assert not hasattr(after, "task_key")
    line = json.loads(JsonLines().format(sent))
    assert {"message": "sent", "level": "WARNING", "logger": "shop", **facts}.items() <= line.items()
    assert Lines(TEXT).format(sent).endswith("shop: sent [task=k1 name=welcome attempt=1]")
    assert Lines(TEXT).format(after).endswith("shop: after")


def test_a_json_line_has_a_traceback_and_no_line_break() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("shop", logging.ERROR, "", 0, "broken\n%s", ("x",), info)
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: first" in json.loads(text)["traceback"]
