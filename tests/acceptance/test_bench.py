"""A smoke of the benchmarks, of all with `-m long`: that they run and what they print. Never how fast anything was."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from benchmarks.cost import UNITS
from benchmarks.dashboard import VIEWS
from benchmarks.document import BESIDE
from mongoq.embedded.server import EmbeddedServer

SCRIPTS: Final = Path(__file__).parents[2] / "scripts"
KEYS: Final = {"name", "figure", "minimum", "maximum", "unit", "limit", "ratio"}
ALONE: Final = {"async.wait.threads", "async.overhead", "async.overhead.blocking"}
WITHOUT_LIMIT: Final = (
    ALONE
    | {"idle.commands", "idle.cpu", "memory.idle", "memory.growth"}
    | {
        "executors.threads",
        "executors.processes.noop",
    }
    | {f"cost.single.{what}" for what in UNITS}
)
PROCESSES: Final = {f"executors.processes{work}" for work in ("", ".1ms", ".noop")}
SMOKES: Final[dict[str, tuple[str, set[str]]]] = {
    "drain": ("--tasks 1000", {"drain.delete", "drain.keep", "drain.plain"}),
    "enqueue": ("--tasks 500", {"enqueue.many", "enqueue.one", "enqueue.submit", "enqueue.buffer"}),
    "latency": ("--tasks 2", {"latency.p50", "latency.p99", "latency.8.p50"}),
    "idle": ("--seconds 0.5", {"idle.commands", "idle.cpu"}),
    "depth": ("--tasks 1000", {"depth.100000", "depth.1000000", "depth.beside"}),
    "churn": ("--seconds 1 --tasks 2000", {"churn", "churn.small"}),
    "contention": (
        "--tasks 1000",
        {f"contention.{size}{beside}" for size in (2, 4, 8) for beside in ("", ".alone")},
    ),
    "cost": (
        "--tasks 1000",
        {f"cost.{how}.{what}" for how in ("delete", "keep", "single") for what in UNITS},
    ),
    "payload": ("--tasks 10", {f"payload.{size}{what}" for size in (1, 10, 100) for what in ("", ".result")}),
    "drain.default": ("--tasks 500", {"drain.default"}),
    "memory": ("--tasks 500", {"memory.idle", "memory.growth"}),
    "executors": ("--tasks 500", {"executors.threads", "executors.asyncio"} | PROCESSES),
    "functions": (
        "--tasks 500",
        {"functions.drain", "functions.drain.50", "functions.new", "functions.many"},
    ),
    "import": ("", {"import"}),
    "fleet": ("--tasks 600 --processes 3", {"fleet.3", "fleet.3.two"}),
    "fleet.idle": (
        "--tasks 1000 --seconds 2 --processes 3",
        {f"fleet.idle.3.{figure}" for figure in ("commands", "all", "cpu", "insert")},
    ),
    "fleet.one": (
        "--tasks 3 --seconds 4 --processes 3",
        {"fleet.one.claims", "fleet.one.p50", "fleet.one.burst"},
    ),
    "queues": ("--tasks 2000", {"queues.1000", "queues.10000", "queues.all"}),
    "modify": ("--tasks 20", {"modify.1", "modify.10", "modify.100"}),
    "async": (
        "--tasks 100",
        {"async.new", "async.gather", "async.wait"} | {name for name in WITHOUT_LIMIT if name.startswith("async")},
    ),
}

Bench = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def bench(server: EmbeddedServer, until: Callable[..., None]) -> Iterator[Bench]:
    """Give `bench(*arguments)`: the program on the server of this run. It must leave nothing behind."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", *arguments, "--uri", server.uri, "--repeat", "1", "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    until(lambda: not workers_on(server.uri), why="no worker process is left")
    assert not namespaces(server.uri)


def workers_on(uri: str) -> list[str]:
    """The worker processes of benchmarks on this server."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = b"benchmarks.worker" in (process / "cmdline").read_bytes()
            if ours and f"MONGOQ_URI={uri}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:  # it has ended, or is not ours to read
            continue
    return found


def namespaces(uri: str) -> list[str]:
    with MongoClient[dict[str, Any]](uri) as client:
        return client["mongoq"].list_collection_names(filter={"name": {"$regex": "^bench-"}})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "drain" else pytest.mark.long) for name in SMOKES]
)
def test_benchmark_prints_one_object_with_its_rows(bench: Bench, name: str) -> None:
    sizes, names = SMOKES[name]
    process = bench(name, *sizes.split())
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    told = json.loads(out)  # one object, and nothing else
    assert told["bench"] == name
    assert {row["name"] for row in told["rows"]} == names
    assert len(told["rows"]) == len(names)
    for row in told["rows"]:
        assert row.keys() == KEYS
        assert row["minimum"] <= row["figure"] <= row["maximum"]
        if row["name"] in WITHOUT_LIMIT:
            assert row["limit"] is row["ratio"] is None
        else:
            assert row["limit"] > 0
            assert math.isfinite(row["ratio"])
            assert row["ratio"] > 0


@pytest.mark.long
def test_each_page_of_the_dashboard_is_measured(bench: Bench) -> None:
    process = bench("dashboard", "--tasks", "200", "--seconds", "0.5")
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    rows = {row["name"]: row for row in json.loads(out)["rows"]}
    of_pages = {f"dashboard.{page}.{what}" for page in VIEWS for what in ("p95", "cpu", "server", "documents")}
    watched = ("commands", "database", "process", "resident")
    of_tabs = {f"dashboard.tabs.{tabs}.{what}" for tabs in ("none", "few", "many") for what in watched}
    others = {"dashboard.stats", "dashboard.stats.documents", "dashboard.resident.rest", "dashboard.resident.pages"}
    assert of_pages | of_tabs | others <= rows.keys()
    assert all(rows[f"dashboard.{page}.documents"]["limit"] > 0 for page in VIEWS)
    assert all(rows[f"dashboard.{page}.p95"]["figure"] > 0 for page in VIEWS)


@pytest.mark.long
def test_every_peer_that_is_here_is_measured(bench: Bench) -> None:
    process = bench("peers", "--tasks", "100")
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    rows = json.loads(out)["rows"]
    assert {row["name"] for row in rows} >= {
        f"peers.{name}.celery" for name in BESIDE if name not in ("behind", "bulk")
    }
    assert all(row["figure"] > 0 and row["limit"] > 0 for row in rows)


def test_several_benchmarks_print_a_line_each(bench: Bench) -> None:
    out, _ = bench("drain", "enqueue", "--tasks", "100").communicate(timeout=60)
    assert [json.loads(line)["bench"] for line in out.splitlines()] == ["drain", "enqueue"]


def test_benchmark_that_is_terminated_clears_away_its_workers_and_namespaces(
    bench: Bench, server: EmbeddedServer, until: Callable[..., None]
) -> None:
    process = bench("idle", "--seconds", "60")
    until(lambda: workers_on(server.uri), why="its worker is there")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    # The fixture looks for what is left.


@pytest.mark.long
@pytest.mark.skipif(not (SCRIPTS.parent / ".git").exists(), reason="this tree has no history")
@pytest.mark.parametrize("whose", ["own", "here"])
def test_compare_sets_the_working_tree_beside_a_revision(server: EmbeddedServer, whose: str) -> None:
    asked = [
        "HEAD",
        "import",
        "drain.delete",
        "drain.nothing",
        "--rounds",
        "2",
        "--tasks",
        "500",
        "--benchmarks",
        whose,
    ]
    ended = compared(server, *asked)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert [row["name"] for row in told["rows"]] == ["import", "drain.delete"]
    assert (told["rounds"], told["left_out"], told["unknown"]) == (2, [], ["drain.nothing"])
    for row in told["rows"]:
        assert 0 < row["minimum"] <= row["ratio"] <= row["maximum"]
    assert not namespaces(server.uri)


@pytest.mark.skipif(not (SCRIPTS.parent / ".git").exists(), reason="this tree has no history")
def test_a_guarded_comparison_fails_where_a_row_is_worse(server: EmbeddedServer) -> None:
    ended = compared(server, "HEAD", "modify.1", "--rounds", "1", "--tasks", "20", "--benchmarks", "here", "--guard")
    (row,) = json.loads(ended.stdout)["rows"]
    assert ended.returncode == (row["ratio"] < 0.95), ended.stderr
    assert ("worse than HEAD" in ended.stderr) is (row["ratio"] < 0.95)
    assert not namespaces(server.uri)


def compared(server: EmbeddedServer, *asked: str) -> subprocess.CompletedProcess[str]:
    """Run a comparison on the server of this run."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "compare", *asked, "--uri", server.uri, "--json"],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_unknown_benchmark_is_a_usage_error(bench: Bench) -> None:
    process = bench("drian")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "drian" in errors
