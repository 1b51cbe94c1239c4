"""What `mongoq doctor` finds on a real server, and how it says it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import NewTask, Queue
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations.examining import sampling
from tests.acceptance.conftest import Cli, Said

pytestmark = pytest.mark.usefixtures("any_oplog")
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def tasks(server: EmbeddedServer, queue: Queue) -> Any:
    """Give the collection of the tasks, with its indexes."""
    queue.new(key="first", delay=86_400)
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client["mongoq"][f"{queue.namespace}.tasks"]


def planted(tasks: Any, key: str, **fields: Any) -> None:
    tasks.insert_one({"_id": key, "queue": "mail", "priority": 0, "run_at": LONG_AGO, "version": 1, **fields})


def test_a_healthy_namespace_has_no_findings(mongoq: Cli, queue: Queue) -> None:
    queue.new(delay=3600)
    assert mongoq("doctor") == Said(0, "(nothing was found)\n", "")
    assert mongoq("doctor", "--json").json == {"findings": [], "not_run": []}, "every check runs here"


def test_a_misspelt_namespace_is_told_with_those_that_have_tasks(mongoq: Cli, queue: Queue) -> None:
    queue.new(delay=3600)
    said = mongoq("--namespace", f"{queue.namespace}x", "doctor")
    assert said.code == 0
    assert said.out.startswith(
        f"NOTE     The namespace {queue.namespace}x of mongoq has no tasks, and never had; with tasks"
    )


def test_names_that_no_worker_knows_are_named(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    @queue.task(queue="mail")
    def welcome(user: int) -> None: ...

    worker = queue.start()
    try:
        until(queue.workers, why="the worker has sent its first heartbeat")
        queue.new({"user": 1}, name="welcom", queue="mail")
        said = mongoq("doctor", "--json")
    finally:
        worker.stop()
    [found] = [one for one in said.json["findings"] if one["level"] == "fault"]
    assert said.code == 1
    assert (found["check"], found["about"]) == ("queue.unhandled", "mail")
    assert found["problem"] == "1 ready task of mail that no worker takes: welcom"
    assert "aliases=" in found["advice"]


def test_a_pause_is_told_and_wanted_and_a_queue_without_a_worker_is_a_fault(mongoq: Cli, queue: Queue) -> None:
    queue.new(queue="payments")
    queue.pause("payments")
    assert mongoq("doctor").code == 0, "a pause is wanted"
    queue.new(queue="bulk")
    said = mongoq("doctor")
    assert said.code == 1
    assert said.out.startswith("FAULT    No worker serves bulk: 1 ready task\n")
    assert "NOTE     Queue payments is paused by" in said.out
    assert "         $ mongoq resume payments\n" in said.out
    assert said.out.endswith("(1 fault, 1 note)\n")


def test_what_nobody_moves_is_found_in_the_database(mongoq: Cli, queue: Queue, tasks: Any) -> None:
    queue.new(key="parent", delay=86_400)
    queue.new(key="child", after=["parent"])
    tasks.database[f"{queue.namespace}.control"].insert_one({"_id": "order:limit:stripe", "concurrency": 0})
    planted(tasks, "lost", state="running", hold={"token": "t", "worker": "w", "until": LONG_AGO})
    soon = datetime.now(UTC) + timedelta(minutes=30)
    planted(tasks, "held", state="running", hold={"token": "t", "worker": "host:1:ab", "until": soon})
    planted(tasks, "due", state="scheduled")
    planted(tasks, "old", state="ready", expires_at=LONG_AGO)
    planted(tasks, "stale", state="parked", modified_at=LONG_AGO)
    tasks.create_index([("queue", 1), ("state", 1), ("priority", -1)], name="mine")
    tasks.drop_index("purge")
    found = {one["check"]: one for one in mongoq("doctor", "--json").json["findings"]}
    assert found.keys() == {
        "task.lost", "task.due", "task.unexpired", "task.stale", "limit.unreadable", "index.competing",
        "index.missing", "queue.unserved", "worker.gone",
    }  # fmt: skip
    assert found["task.lost"]["problem"].endswith("not taken back: lost")
    assert found["task.stale"]["about"] == "stale"
    assert found["index.missing"]["about"] == f"{tasks.name}.purge"
    assert f'getCollection("{tasks.name}").dropIndex("mine")' in found["index.competing"]["command"]


def test_a_hot_query_that_scans_the_collection_is_found(mongoq: Cli, queue: Queue, tasks: Any) -> None:
    tasks.drop_index("claim")
    found = {one["check"] for one in mongoq("doctor", "--json").json["findings"]}
    assert {"index.missing", "query.scan"} <= found


def test_a_large_namespace_without_workers_is_sampled_and_not_counted(
    mongoq: Cli, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MANY", 5)
    monkeypatch.setattr(sampling, "SAMPLE", 4)
    queue.new_many(NewTask(name="welcome", queue=name) for name in ("bulk", "mail") for _ in range(6))
    found = [one["problem"] for one in mongoq("doctor", "--json").json["findings"]]
    assert found == [f"No worker serves {name}: at least 4 ready tasks" for name in ("bulk", "mail")]


def test_what_halts_a_line_and_who_waits_for_a_failed_parent_is_found(mongoq: Cli, queue: Queue, tasks: Any) -> None:
    queue.limit("tenant", concurrency=1, by="tenant", order="fifo")
    queue.new_many(NewTask({"tenant": "acme"}, key=key, limits=["tenant"]) for key in ("head", "second"))
    [head] = queue.claim_many(2)
    queue.retry(head, TimeoutError("slow"), delay=3600)
    queue.new(key="parent", delay=86_400, max_retries=0)
    queue.new(key="child", after=["parent"], on_parent_failure="wait")
    tasks.update_one({"_id": "parent"}, {"$set": {"state": "failed", "children": "settled"}})
    tasks.update_one({"_id": "child"}, {"$set": {"modified_at": LONG_AGO}, "$unset": {"unchecked": ""}})
    tasks.update_one({"_id": "second"}, {"$set": {"modified_at": LONG_AGO}})
    found = {one["check"]: one for one in mongoq("doctor", "--json").json["findings"]}
    assert found.keys() == {"limit.line", "task.waits-for-failed"}
    assert "halts behind head, which failed with TimeoutError" in found["limit.line"]["problem"]
    assert found["limit.line"]["command"] == "mongoq update head --delay 0"
    assert found["task.waits-for-failed"]["problem"] == "The parent parent is failed: 1 parked task waits for it"
    assert found["task.waits-for-failed"]["command"] == "mongoq rerun parent"


def test_workers_that_differ_are_told_by_version_clock_and_connections(mongoq: Cli, queue: Queue, tasks: Any) -> None:
    now = queue.time()
    facts = {"pid": 7, "queues": ["mail"], "workers": 50, "running": 2, "ahead": 0, "started_at": LONG_AGO}
    tasks.database[f"{queue.namespace}.workers"].insert_many([
        {"_id": "new:7:ab", "host": "new", **facts, "seen_at": now, "version": "2.0", "pool": 100, "clock": 0.1},
        {"_id": "old:7:ab", "host": "old", **facts, "seen_at": now, "version": "1.0", "pool": 20, "clock": -90},
        {"_id": "gone:7:ab", "host": "gone", **facts, "seen_at": now - timedelta(seconds=40), "version": "1.0"},
    ])  # fmt: skip
    found = {one["check"]: one["problem"] for one in mongoq("doctor", "--json").json["findings"]}
    assert found.keys() == {"namespace.versions", "host.worker-clock", "worker.pool", "worker.silent"}
    assert found["namespace.versions"].endswith("2 of 1.0, 1 of 2.0")
    assert found["host.worker-clock"] == "The clock of old is 90 s behind the database's"
    assert found["worker.pool"].startswith("The worker old:7 has 20 connections for 50 handlers")
    lines = mongoq("workers").out.splitlines()
    assert lines[0].endswith("MONGOQ")
    assert sorted(line.split()[-1] for line in lines[1:]) == ["1.0", "1.0", "2.0"]
