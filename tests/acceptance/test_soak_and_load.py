"""A smoke of `./scripts/soak` and `./scripts/load`: that they run, clear up and what they print. Never the figures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from benchmarks.report import Row
from mongoq.core.validation import UNSET
from mongoq.embedded.server import EmbeddedServer
from proving import load, soak, soak_handlers
from proving.soak import UNITS

SCRIPTS: Final = Path(__file__).parents[2] / "scripts"
COMMON: Final = {"enqueue", "disk", "server.waiting", "drain", "worker", "workers", "server", "connections"}
LOADS: Final = {
    "waiting": COMMON | {"waiting", "fill"},
    "queues": COMMON | {"queues"},
    "priorities": COMMON | {"priorities"},
    "fleet": COMMON | {"processes"},
    "payloads": COMMON | {"payloads"},
}


def run(server: EmbeddedServer, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program on the server of this run; it must leave nothing there."""
    ended = subprocess.run(
        [sys.executable, "-m", f"proving.{module}", *arguments, "--uri", server.uri],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    with MongoClient[dict[str, Any]](server.uri) as client:
        left = client["mongoq"].list_collection_names(filter={"name": {"$regex": "^bench-"}})
    assert not left
    return ended


@pytest.mark.long
def test_load_tells_rates_memory_and_room_of_each_row(server: EmbeddedServer) -> None:
    ended = run(server, "load", *LOADS, "--scale", "0.001", "--json")
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["bench"] for line in lines] == list(LOADS)
    for line in lines:
        told = {row["name"]: row["figure"] for row in line["rows"]}
        assert told.keys() == {f"{line['bench']}.{what}" for what in LOADS[line["bench"]]}
        assert all(math.isfinite(figure) and figure > 0 for figure in told.values()), told


@pytest.mark.long
def test_soak_tells_each_figure_and_its_slope(server: EmbeddedServer) -> None:
    ended = run(server, "soak", "--minutes", "0.05", "--every", "0.3", "--json")
    assert ended.returncode == 0, ended.stderr
    told = {row["name"]: row["figure"] for row in json.loads(ended.stdout)["rows"]}
    assert told.keys() == {f"soak.{name}{end}" for name in UNITS for end in ("", ".slope")}
    assert told["soak.memory.threads"] > 10
    assert told["soak.rate"] > 0


def test_of_a_soaks_tasks_a_tenth_fails_and_a_twentieth_is_late_on_each_executor() -> None:
    number = 20 * len(soak_handlers.ROUND)
    for executor, share in soak.SHARES.items():
        tasks = [task for task in map(soak.task, range(number)) if task.queue == executor]
        kinds = Counter(task.tags["kind"] for task in tasks)
        assert len(tasks) == share * len(soak_handlers.ROUND)
        assert kinds["fail"] + kinds["group"] + kinds["steer"] >= len(tasks) / 10 >= kinds["fail"] + kinds["group"]
        assert kinds["late"] == sum(task.deadline is not UNSET for task in tasks) == len(tasks) / 20
        assert kinds.keys() == soak_handlers.ACTS.keys()


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    load.tell("fleet", [Row("fleet.drain", "tasks/s", [1234.5])], as_json=False)
    samples = [{"at": at, **dict.fromkeys(UNITS, at)} for at in (60.0, 1800.0, 3600.0)]
    soak.tell(soak.rows(samples, 3600), as_json=False)
    printed = capsys.readouterr().out
    assert "1,234.5" in printed
    assert printed.count("+3,600.000") == len(UNITS)


def test_a_slope_is_per_hour_and_that_of_the_settled_half() -> None:
    def sample(at: float, memory: float) -> dict[str, float]:
        return {"at": at, **dict.fromkeys(UNITS, 1.0), "memory.threads": memory}

    samples = [sample(1799, 500), *(sample(at, 40 + at / 360) for at in range(1800, 3600, 60))]
    told = {row.name: row.figures[0] for row in soak.rows(samples, 3600) if row.name.endswith(".slope")}
    assert told["soak.memory.threads.slope"] == pytest.approx(10)
    assert told["soak.threads.slope"] == pytest.approx(0)
