"""The replica set that the other tests try their promises on does itself what it says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import AutoReconnect, PyMongoError
from pymongo.write_concern import WriteConcern

from proving.cluster import Cluster
from proving.member import Member, free_port

Collection = pymongo.collection.Collection[dict[str, Any]]
Until = Callable[..., None]
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def collection(cluster: Cluster) -> Iterator[Collection]:
    """Give an empty collection, as a client with fast limits sees it."""
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(cluster.uri, connectTimeoutMS=1000, socketTimeoutMS=2000) as client:
        collection: Collection = client.get_database("t", write_concern=WriteConcern("majority")).get_collection("t")
        collection.delete_many({})
        yield collection


@pytest.mark.parametrize("fault", [Member.kill, Member.freeze, Member.cut])
def test_the_others_elect_a_new_primary_and_the_old_one_follows_it(
    cluster: Cluster, collection: Collection, fault: Callable[[Member], None], until: Until
) -> None:
    old = cluster.primary()
    fault(old)
    new = cluster.wait_for_primary()
    assert new is not old

    def written() -> bool:
        try:
            collection.replace_one({"_id": 1}, {}, upsert=True)
        except PyMongoError:
            return False
        return True

    until(written, why="the majority takes writes")
    cluster.restore()
    assert old.client["t"]["t"].count_documents({}) == 1 or new.is_primary
    assert len(cluster.secondaries()) == 2


def test_a_primary_cut_off_from_the_members_alone_takes_writes_that_do_not_last(
    cluster: Cluster, collection: Collection
) -> None:
    old = cluster.primary()
    old.cut(clients=False)
    alone: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(f"mongodb://{old.address}/?directConnection=true", retryWrites=False) as alone:
        doomed: Collection = alone.get_database("t", write_concern=WriteConcern(1))["t"]
        doomed.insert_one({"_id": "doomed"})
    cluster.wait_for_primary()
    cluster.restore()
    assert collection.find_one({"_id": "doomed"}) is None


def test_a_lost_reply_is_one_to_a_command_that_was_carried_out(cluster: Cluster, collection: Collection) -> None:
    cluster.network.lose_replies(2, "insert")
    with pytest.raises(AutoReconnect):
        collection.insert_one({"_id": "unknown"})
    assert cluster.network.lost == 2
    assert collection.find_one({"_id": "unknown"})


def test_a_member_can_be_killed_at_the_moment_a_reply_is_lost(cluster: Cluster, collection: Collection) -> None:
    old = cluster.primary()
    cluster.network.lose_replies(1, "insert", then="kill")
    collection.insert_one({"_id": "retried"})
    assert old.pid is None
    assert collection.count_documents({"_id": "retried"}) == 1


def test_a_step_down_makes_another_member_the_primary(cluster: Cluster) -> None:
    old = cluster.step_down()
    assert cluster.wait_for_primary() is not old


def test_a_port_that_another_process_takes_before_the_start_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = chain([taken], iter(free_port, None))
        monkeypatch.setattr("proving.cluster.free_port", lambda: next(ports))
        with Cluster(1) as cluster:
            assert cluster.members[0].port != taken
            with pymongo.MongoClient[dict[str, Any]](cluster.uri) as client:
                assert client["t"]["t"].insert_one({}).acknowledged


def test_a_port_that_another_process_takes_while_a_member_is_down_is_exchanged() -> None:
    with Cluster(1) as cluster:
        member = cluster.members[0]
        address, taken = member.address, member.port
        member.kill()
        with socket.create_server(("127.0.0.1", taken)):
            cluster.restore()
        assert member.port != taken
        assert member.address == address
        with pymongo.MongoClient[dict[str, Any]](cluster.uri) as client:
            assert client["t"]["t"].insert_one({}).acknowledged


def test_a_cluster_that_finds_every_port_taken_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr("proving.cluster.free_port", lambda: other.getsockname()[1])
        with pytest.raises(RuntimeError, match="5 ports were taken"), Cluster(1):
            pass


def test_nothing_outlives_the_process_that_opened_a_cluster(until: Until, tmp_path: Path) -> None:
    program = f"""
import time; from pathlib import Path; from proving.cluster import Cluster
with Cluster(1, Path({str(tmp_path)!r})) as cluster:
    print(cluster.network.pid, cluster.members[0].pid, flush=True)
    time.sleep(60)
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
    )
    assert owner.stdout
    with owner.stdout:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2
    owner.send_signal(signal.SIGKILL)
    owner.wait(60)
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), why="network and member end with it")
