"""Transactions whose replies are lost, that meet others, and that a server alone cannot have."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongoq import Modification, NewTask, Queue, StorageUnavailable, TaskState, Unsupported
from mongoq.embedded.server import find_mongod
from mongoq.storage.commands import nothing
from mongoq.storage.drivers import steps
from mongoq.worker import task_transaction

Client = MongoClient[dict[str, Any]]
Until = Callable[..., None]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def mongod(folder: Path, until: Until, *options: str) -> Iterator[Client]:
    """A server of this module's own."""
    port = free_port()
    line = [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", *options]
    with (folder / "log").open("wb") as log, subprocess.Popen(line, stdout=log, stderr=log) as process:
        try:
            with MongoClient[dict[str, Any]](
                "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=2_000
            ) as client:
                until(lambda: _answers(client), why="mongod answers")
                yield client
        finally:
            process.kill()


def _answers(client: Client) -> bool:
    try:
        return bool(client.admin.command("ping"))
    except PyMongoError:
        return False


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory, until: Until) -> Iterator[Client]:
    with mongod(tmp_path_factory.mktemp("standalone"), until) as client:
        yield client


@pytest.fixture(scope="module")
def fallible(tmp_path_factory: pytest.TempPathFactory, until: Until) -> Iterator[Client]:
    """Give a replica set of one that fails when it is asked to."""
    options = ["--replSet", "rs", "--setParameter", "enableTestCommands=1"]
    with mongod(tmp_path_factory.mktemp("fallible"), until, *options) as client:
        client.admin.command("replSetInitiate")
        until(lambda: client.admin.command("hello")["isWritablePrimary"], why="it is primary")
        # A connection made before that knows of no sessions.
        host, port = client.address or ("", 0)
        with MongoClient[dict[str, Any]](host, port, directConnection=True, socketTimeoutMS=5_000) as later:
            yield later


@pytest.fixture
def queue(fallible: Client) -> Iterator[Queue]:
    with Queue(fallible, namespace=f"t-{secrets.token_hex(4)}") as queue:
        queue.init()
        yield queue


@pytest.fixture
def fail(fallible: Client) -> Iterator[Callable[..., None]]:
    """Give `fail(command, times, **how)`: the next so many of these commands fail."""

    def arm(command: str, times: int, **how: Any) -> None:
        data = {"failCommands": [command], **how}
        fallible.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)

    yield arm
    fallible.admin.command("configureFailPoint", "failCommand", mode="off")


UNKNOWN = {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "late", "errInfo": {"wtimeout": True}}
CHANGES: dict[str, Callable[[Queue], object]] = {
    "modify": lambda queue: queue.modify(insert=[NewTask(key="new")], change=[queue.get("a").as_change(priority=1)]),
    "delete": lambda queue: queue.modify(insert=[NewTask(key="new")], delete=[queue.get("a")]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_commit_whose_reply_was_lost_is_settled_by_asking_again(
    queue: Queue, fail: Any, change: str, times: int
) -> None:
    queue.new(key="a")
    # The commit takes effect, its reply does not say so.
    fail("commitTransaction", times, writeConcernError=UNKNOWN)
    CHANGES[change](queue)
    assert queue.get("new").version == 1
    assert [task.version for task in queue.tasks(keys=["a"])] == ([2] if change == "modify" else [])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("command", ["find", "update", "delete", "insert", "commitTransaction"])
def test_a_transaction_that_is_cut_off_is_run_again(queue: Queue, fail: Any, change: str, command: str) -> None:
    queue.new(key="a")
    fail(command, 1, closeConnection=True)
    CHANGES[change](queue)
    assert queue.get("new").version == 1


def test_a_transaction_that_meets_another_s_write_is_told_each_time_it_is_run_again(
    queue: Queue, fail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The renewal before a transaction is an update as well, and would be the one that fails.
    monkeypatch.setattr(task_transaction, "_persistently", lambda renew: nothing(None))
    queue.new(key="a")
    heard: list[str] = []
    queue.telemetry.subscribe(lambda name, fields: heard.append(f"{name}: {fields['error']}"))
    fail("update", 2, errorCode=112)
    CHANGES["modify"](queue)
    assert [line.partition(":")[0] for line in heard] == ["transaction.repeated"] * 2
    assert "another write met" in heard[0]

    task = queue.try_claim()
    assert task is not None
    heard.clear()
    fail("update", 1, errorCode=112)
    with queue.transaction(task):
        pass
    assert len(heard) == 1


def test_a_completion_and_what_follows_survive_a_lost_commit(queue: Queue, fail: Any) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    fail("commitTransaction", 2, closeConnection=True)
    queue.complete(task, [NewTask(key="new")])
    assert {found.key: found.state.value for found in queue.tasks()} == {"a": "completed", "new": "ready"}


def test_the_handler_s_own_transaction_survives_a_lost_commit(queue: Queue, fail: Any) -> None:
    queue.new(key="a")
    task = queue.try_claim()
    assert task is not None
    with queue.transaction(task) as session:
        session.client["shop"][queue.namespace].insert_one({"_id": 1}, session=session)
        fail("commitTransaction", 2, closeConnection=True)
    assert queue.get("a").state is TaskState.COMPLETED


def test_an_outcome_that_stays_unknown_is_ambiguous_and_the_same_change_is_made_once(
    queue: Queue, fail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "REPLAYED_FOR", 0.3)
    whole = Modification(change=[queue.new(key="a").as_change(priority=1)])
    fail("commitTransaction", 1_000_000, writeConcernError=UNKNOWN)
    with pytest.raises(StorageUnavailable) as caught:
        queue.modify(whole)
    assert caught.value.ambiguous

    fail("commitTransaction", 0)
    [changed] = queue.modify(whole).changed
    assert (changed.priority, changed.version, queue.get("a").version) == (1, 2, 2)


def test_a_standalone_server_says_what_would_be_enough(standalone: Client) -> None:
    with Queue(standalone, namespace=f"t-{secrets.token_hex(4)}") as queue:
        queue.new(key="a")
        task = queue.try_claim()
        assert task is not None
        with pytest.raises(Unsupported, match="a replica set of one node is enough"):
            queue.modify(insert=[NewTask()])
        with pytest.raises(Unsupported), queue.transaction(task):
            pytest.fail("the block is not entered")
        assert (queue.size(), queue.empty()) == (1, False), "looking needs none"
        queue.complete(task)
        assert queue.get("a").state is TaskState.COMPLETED


def test_a_worker_on_a_standalone_server_fails_what_it_cannot_carry_out(standalone: Client) -> None:
    with Queue(standalone, namespace=f"t-{secrets.token_hex(4)}", max_retries=0) as queue:
        queue.new(key="a")
        queue.run(lambda _: [NewTask()], burst=True)
        task = queue.get("a")
        assert task.state is TaskState.FAILED
        assert task.last_error is not None
        assert task.last_error.type == "Unsupported"
