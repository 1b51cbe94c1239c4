"""What an operator sees of a server in trouble: one line, the right exit code, no secret (F17, F18)."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from mongoq import Queue, StorageError
from mongoq.cli import main
from mongoq.embedded.server import find_mongod
from mongoq.storage.operations import schema
from proving.cluster import Cluster
from proving.member import free_port

Until = Callable[..., None]
Figure = Callable[[str, str], None]
Cli = Callable[..., tuple[int, str]]

CANARY = "canary-hunter2"
FAST = "serverSelectionTimeoutMS=1500"


@pytest.fixture
def mongoq(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, figure: Figure) -> Cli:
    """Give `mongoq(uri, *arguments)`: exit code and the one line on stderr of a command."""
    monkeypatch.setenv("MONGOQ_NAMESPACE", f"cli-{secrets.token_hex(4)}")

    def run(uri: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("MONGOQ_URI", uri)
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert CANARY not in out + err
        assert "Traceback" not in err
        err = "".join(line for line in err.splitlines(keepends=True) if "warning: this is a standalone" not in line)
        assert err.count("\n") <= 1, err
        figure("F18", f"mongoq {' '.join(arguments)}: exit {code}, {err.strip() or 'no word'}")
        return code, err

    return run


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, until: Until) -> Iterator[str]:
    """Give host and port of a server with users: root, and reader, who may only read; both with CANARY."""
    folder = tmp_path_factory.mktemp("guarded")
    port = free_port()
    command = [find_mongod(), "--auth", "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"]
    with (folder / "log").open("wb") as log, subprocess.Popen([*map(str, command)], stdout=log, stderr=log) as process:
        try:
            client: pymongo.MongoClient[dict[str, Any]]
            with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=200, directConnection=True) as client:
                until(lambda: _made(client, "root", "root"), why="mongod answers")
            uri = f"mongodb://root:{CANARY}@127.0.0.1:{port}/?authSource=admin"
            with pymongo.MongoClient(uri, directConnection=True) as client:
                assert _made(client, "reader", "readAnyDatabase")
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def _made(client: pymongo.MongoClient[dict[str, Any]], name: str, role: str) -> bool:
    try:
        client.admin.command("createUser", name, pwd=CANARY, roles=[role])
    except PyMongoError:
        return False
    return True


@pytest.mark.parametrize(
    "user, database, command, code, says",
    [
        (f"root:{CANARY}x@", "", ["stats"], 1, "password is wrong"),
        (f"nobody:{CANARY}@", "", ["new", "a=1"], 1, "user name"),
        (f"root:{CANARY}@", "shop?authSource=shop", ["stats"], 1, "authSource"),
        ("", "", ["stats"], 1, "lacks a right"),
        (f"reader:{CANARY}@", "?authSource=admin", ["new", "a=1"], 1, "readWrite"),
        (f"reader:{CANARY}@", "?authSource=admin", ["worker", "json:loads"], 1, "readWrite"),
        (f"root:{CANARY}@", "?authSource=admin&replicaSet=none", ["stats"], 3, "no MongoDB"),
    ],
    ids=["wrong password", "no such user", "wrong authSource", "no user", "reader: new", "reader: worker",
         "wrong set name"],
)  # fmt: skip
def test_a_refusal_is_one_line_that_says_what_to_do(
    *, mongoq: Cli, guarded: str, user: str, database: str, command: list[str], code: int, says: str
) -> None:
    uri = f"mongodb://{user}{guarded}/{database}"
    got, err = mongoq(uri + ("&" if "?" in uri else "?") + FAST, *command)
    assert got == code
    assert says in err


@pytest.fixture
def root(guarded: str) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    """Give a client of the server with users that may do everything."""
    uri = f"mongodb://root:{CANARY}@{guarded}/?authSource=admin"
    with pymongo.MongoClient[dict[str, Any]](uri, directConnection=True) as client:
        yield client


def _works(act: Callable[[], object]) -> bool:
    try:
        act()
    except StorageError:
        return False
    return True


@pytest.mark.parametrize("what", ["made again", "with another password", "a right taken and given"])
def test_a_user_made_again_is_known_to_those_who_were_connected(
    guarded: str, root: pymongo.MongoClient[dict[str, Any]], until: Until, what: str
) -> None:
    name = f"u{secrets.token_hex(3)}"
    roles = ["readWriteAnyDatabase"]
    root.admin.command("createUser", name, pwd=CANARY, roles=roles)
    uri = f"mongodb://{name}:{CANARY}@{guarded}/?authSource=admin&directConnection=true&{FAST}"
    with Queue(uri, namespace=name) as queue:
        assert queue.new().key
        if what == "a right taken and given":
            root.admin.command("updateUser", name, roles=[])
            until(lambda: not _works(queue.new), why="it is refused")
            root.admin.command("updateUser", name, roles=roles)
        else:
            root.admin.command("dropUser", name)
            until(lambda: not _works(queue.new), why="it is refused")
            if what == "with another password":
                root.admin.command("createUser", name, pwd="x" + CANARY, roles=roles)
                until(lambda: not _works(queue.new), why="it is refused")
                root.admin.command("updateUser", name, pwd=CANARY)
            else:
                root.admin.command("createUser", name, pwd=CANARY, roles=roles)
        until(lambda: _works(queue.new), why="its connections authenticate again")


def test_a_set_without_a_primary_is_exit_code_3_and_says_so(cluster: Cluster, mongoq: Cli, until: Until) -> None:
    for member in cluster.secondaries():
        member.freeze()
    until(lambda: not cluster.has_primary(), why="the primary has stepped down")
    for command in (["stats"], ["new", "a=1"], ["ls"], ["init"], ["worker", "json:loads"]):
        code, err = mongoq(f"{cluster.uri}&serverSelectionTimeoutMS=500&connectTimeoutMS=300", *command)
        assert code == 3
        assert err.startswith("mongoq: no MongoDB")


def test_a_direct_connection_to_a_member_that_is_not_primary_is_one_line(cluster: Cluster, mongoq: Cli) -> None:
    other = cluster.secondaries()[0]
    code, err = mongoq(f"mongodb://{other.address}/?directConnection=true&{FAST}", "new", "a=1")
    assert code == 3
    assert "is not the primary" in err


def test_a_frozen_primary_costs_a_command_5_seconds(cluster: Cluster, mongoq: Cli, figure: Figure) -> None:
    cluster.primary().freeze()
    began = time.monotonic()
    code, _ = mongoq(cluster.uri, "new", "a=1")
    took = time.monotonic() - began
    figure("F8", f"`mongoq new` with a frozen primary: exit {code} after {took:.1f} s")
    assert code == 0
    assert took < 15, "half of the 30 s for which PyMongo would wait; 5 s, the interpreter and an election are expected"


def test_a_missing_index_is_made_again_while_a_member_is_down(
    cluster: Cluster, queue: Queue, mongoq: Cli, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SMALL", 1_000)
    queue.new_many([{"n": number} for number in range(1_001)])
    cluster.primary().client["mongoq"][f"{queue.namespace}.tasks"].drop_index("claim")
    cluster.secondaries()[0].kill()
    code, err = mongoq(cluster.uri, "--namespace", queue.namespace, "worker", "json:loads", "--burst")
    assert code == 1
    assert "`mongoq init` makes it" in err
    began = time.monotonic()
    assert queue.init() == [f"{queue.namespace}.tasks.claim"]
    figure("F17", f"index of 1,001 tasks made while a member is down: {time.monotonic() - began:.2f} s")
