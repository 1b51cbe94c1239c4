"""The rights that docs/security.md says are enough are enough, on a mongod with --auth."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import NewTask, Queue, StorageRefused
from mongoq.embedded.server import find_mongod

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
WHO = ("producer", "worker", "viewer", "operator", "init")
ACTION = re.compile(r"\b(find|insert|update|remove|listIndexes|createIndex|changeStream)\b")

Open = Callable[[str], Queue]


def rights() -> dict[str, list[dict[str, Any]]]:
    """The privileges of each who, as the table of the page has them; what only some calls need is left out."""
    rows = PAGE.partition("| who | actions on")[2].splitlines()[2:7]
    found = {}
    for who, row in zip(WHO, rows, strict=True):
        name, tasks, workers = row.strip("|").split("|")
        assert who in name
        found[who] = [
            {"resource": {"db": "shop", "collection": f"mail.{kind}"}, "actions": ACTION.findall(cell.split(";")[0])}
            for kind, cell in (("tasks", tasks), ("workers", workers))
        ]
    return found


@pytest.fixture(scope="module")
def open_as(tmp_path_factory: pytest.TempPathFactory, until: Callable[..., None]) -> Iterator[Open]:
    """Give `open_as(who)`: a queue of a user with just these rights."""
    folder = tmp_path_factory.mktemp("auth")
    key = folder / "key"
    key.write_text("a" * 64)
    key.chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
    command += ["--replSet", "rs0", "--auth", "--keyFile", str(key), "--logpath", str(folder / "log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    opened: list[Queue] = []

    def open_(who: str) -> Queue:
        uri = f"mongodb://{who}:p@127.0.0.1:{port}/shop?replicaSet=rs0"
        opened.append(Queue(uri, namespace="mail", workers=2))
        return opened[-1]

    try:
        _make_users(port, until)
        open_("init").init()
        yield open_
    finally:
        for queue in opened:
            queue.close()
        process.terminate()
        process.wait(60)


def _make_users(port: int, until: Callable[..., None]) -> None:
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as alone:
        alone.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
        until(lambda: alone.admin.command("hello")["isWritablePrimary"], why="there is a primary")
        alone.admin.command("createUser", "root", pwd="p", roles=["root"])
    with MongoClient[dict[str, Any]](f"mongodb://root:p@127.0.0.1:{port}/?directConnection=true") as root:
        for who, privileges in rights().items():
            root["shop"].command("createRole", who, privileges=privileges, roles=[])
            root["shop"].command("createUser", who, pwd="p", roles=[who])
        for role in ("read", "readWrite"):
            root["shop"].command("createUser", role, pwd="p", roles=[role])


def test_a_producer_may_enqueue_and_nothing_else(open_as: Open) -> None:
    queue = open_as("producer")
    queue.new()
    assert queue.load([{}] * 3) == 3
    queue.modify(insert=[NewTask()])
    for verb in (queue.try_claim, queue.stats, queue.tasks, queue.purge):
        with pytest.raises(StorageRefused, match="the user lacks a right"):
            verb()


@pytest.mark.parametrize("who", ["worker", "readWrite"])
def test_a_worker_works_without_a_complaint(
    open_as: Open, who: str, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    queue = open_as(who)
    watching: list[str] = []
    queue.telemetry.subscribe(lambda name, _: watching.append(name) if name == "wakeups.watching" else None)
    handle = queue.start(lambda task: NewTask(queue="done") if task.queue == "next" else None, queues=["next", "done"])
    until(lambda: watching, why="the worker listens for news")
    key = queue.new(queue="next").key
    done = queue.wait(key, timeout=30)
    until(lambda: queue.join("done", timeout=1), why="what followed is done")
    handle.stop()
    assert done is not None
    assert (done.state, queue.workers()) == ("completed", [])
    assert "lacks a right" not in caplog.text


@pytest.mark.parametrize("who", ["viewer", "read"])
def test_a_viewer_may_look_and_change_nothing(open_as: Open, who: str) -> None:
    queue = open_as(who)
    queue.stats(attempts=True)
    queue.workers()
    assert queue.tasks(limit=1) or queue.empty()
    with pytest.raises(StorageRefused, match="the user lacks a right"):
        queue.new()


def test_an_operator_may_change_tasks_and_enqueue_none(open_as: Open) -> None:
    open_as("producer").new_many([{"of": "ops"}] * 4, queue="ops")
    queue = open_as("operator")
    first, second, *_ = queue.tasks(queue="ops")
    queue.update(first.key, priority=2)
    assert queue.move(first.key, "elsewhere") == 1
    queue.cancel(second.key)
    assert queue.rerun_all(queue="ops") == 0
    assert queue.delete_all(queue="ops") == 3
    with pytest.raises(StorageRefused, match="the user lacks a right"):
        queue.new()


@pytest.mark.parametrize(
    "who, lacks",
    [
        ("readWrite", []),
        ("worker", []),
        ("viewer", ["producer", "worker", "operator"]),
        ("producer", ["worker", "operator"]),
    ],
)
def test_a_diagnosis_tells_what_a_user_lacks_and_what_it_could_not_look_at(
    open_as: Open, who: str, lacks: list[str]
) -> None:
    found = open_as(who).diagnose()
    told = [one.problem for one in found.findings if one.check == "user.rights"]
    assert bool(told) is bool(lacks)
    assert all(role in " ".join(told) or "may look, and neither" in told[0] for role in lacks)
    not_run = {one.check: one.reason for one in found.not_run}
    assert not_run["server.ttl-monitor"] == "this user lacks the right to read the server's parameters (clusterMonitor)"
    assert ("queue.unserved" in not_run) is (who == "producer")
