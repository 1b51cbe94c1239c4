"""The embedded server: a smoke in every run; its starts, ends and crashes with `-m long`, or where it was changed."""

from __future__ import annotations

import os
import signal
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
import pytest

from mongoq.embedded.server import EmbeddedServer, find_mongod, open_embedded
from tests.storage.test_finding_mongod import program

ROOT = Path(__file__).resolve().parents[2]
USER = """
import sys
from mongoq.embedded.server import open_embedded
with open_embedded(sys.argv[1]) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""
Until = Callable[..., None]


@contextmanager
def user(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process use the folder's server."""
    command = [sys.executable, "-c", USER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def mongod_of(process: subprocess.Popen[str]) -> int:
    """Return the pid of the mongod that a user uses, once it does."""
    assert process.stdout is not None
    return int(process.stdout.readline())


@contextmanager
def client(server: EmbeddedServer) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](server.uri, serverSelectionTimeoutMS=5000) as connected:
        yield connected


def port_of(server: EmbeddedServer) -> int:
    (_host, port), *_ = pymongo.uri_parser.parse_uri(server.uri)["nodelist"]
    assert isinstance(port, int)
    return port


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that waits for its parent to notice has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


class Rude(socketserver.TCPServer):
    """Hangs up on everybody; takes a port with connections that just ended."""

    allow_reuse_address = True


@contextmanager
def busy(port: int) -> Iterator[None]:
    """Occupy a port with a server that speaks another language.

    One that never answers works too, but mongod asks it for 30 s whether it is the member of that address.
    """
    with Rude(("127.0.0.1", port), socketserver.BaseRequestHandler) as other:
        serving = threading.Thread(target=other.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield
        finally:
            other.shutdown()
            serving.join()


def test_it_is_a_replica_set_that_takes_writes(server: EmbeddedServer) -> None:
    with client(server) as connected:
        hello = connected.admin.command("hello")
        assert (hello["setName"], hello["isWritablePrimary"]) == ("rs", True)
        with connected.start_session() as session, session.start_transaction():
            connected.embedded.transactions.insert_one({"_id": 1}, session=session)
        assert connected.embedded.transactions.count_documents({}) == 1


def test_it_keeps_no_history_that_claims_would_walk_over(server: EmbeddedServer) -> None:
    name = "minSnapshotHistoryWindowInSeconds"
    with client(server) as connected:
        assert connected.admin.command({"getParameter": 1, name: 1})[name] == 0


@pytest.mark.long
def test_nobody_else_may_read_its_folder(folder: Path) -> None:
    with open_embedded(folder) as server:
        inside = [server.folder, *server.folder.rglob("*")]
        open_to_others = [path for path in inside if stat.S_IMODE(path.lstat().st_mode) & 0o077]
        assert not open_to_others


@pytest.mark.long
def test_a_folder_of_mine_that_others_could_read_is_closed(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with open_embedded(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.long
def test_it_listens_on_the_loopback_interface_alone(folder: Path) -> None:
    with open_embedded(folder) as server, client(server) as connected:
        net = connected.admin.command("getCmdLineOpts")["parsed"]["net"]
        assert net["bindIp"] == "127.0.0.1"
        assert net["unixDomainSocket"] == {"enabled": False}


@pytest.mark.long
def test_a_signal_from_the_terminal_reaches_neither_mongod_nor_its_guardian(folder: Path) -> None:
    with open_embedded(folder) as server:
        sessions = {os.getsid(server.pid), os.getsid(server.guardian_pid)}
        assert os.getsid(0) not in sessions


def test_two_processes_share_one_server(folder: Path) -> None:
    with open_embedded(folder) as server, user(folder) as other:
        assert mongod_of(other) == server.pid


@pytest.mark.long
def test_processes_that_start_together_share_one_server(folder: Path) -> None:
    with user(folder) as one, user(folder) as two, user(folder) as three:
        assert mongod_of(one) == mongod_of(two) == mongod_of(three)


@pytest.mark.long
def test_threads_that_open_a_folder_together_share_one_server(folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(open_embedded, [folder] * 4))
    try:
        assert len({server.pid for server in servers}) == 1
    finally:
        for server in servers:
            server.close()


@pytest.mark.long
def test_it_outlives_the_process_that_started_it_while_another_uses_it(folder: Path) -> None:
    with user(folder) as starter:
        mongod_of(starter)
        server = open_embedded(folder)
        starter.kill()
        starter.wait()
    with server, client(server) as connected:
        assert connected.admin.command("ping")["ok"] == 1


@pytest.mark.long
def test_it_stops_with_its_last_user(folder: Path, until: Until) -> None:
    first, second = open_embedded(folder), open_embedded(folder)
    first.close()
    with client(second) as connected:
        assert connected.admin.command("ping")["ok"] == 1
    second.close()
    until(lambda: is_gone(second.pid), why="mongod stops")
    until(lambda: is_gone(second.guardian_pid), why="its guardian ends too")


def test_it_stops_when_its_last_user_is_killed(folder: Path, until: Until) -> None:
    with user(folder) as last:
        mongod = mongod_of(last)
        last.kill()
        until(lambda: is_gone(mongod), why="mongod stops")


@pytest.mark.long
def test_closing_twice_gives_up_one_use_only(folder: Path) -> None:
    first = open_embedded(folder)
    with open_embedded(folder) as second:
        first.close()
        first.close()
        with client(second) as connected:
            assert connected.admin.command("ping")["ok"] == 1


@pytest.mark.long
def test_opening_while_it_stops_gives_a_server_that_stays(folder: Path) -> None:
    open_embedded(folder).close()
    with open_embedded(folder) as server, client(server) as connected:
        assert connected.admin.command("ping")["ok"] == 1


def test_its_data_and_its_port_survive_a_restart(folder: Path, until: Until) -> None:
    with open_embedded(folder) as first, client(first) as connected:
        connected.embedded.things.insert_one({"_id": "kept"})
    until(lambda: is_gone(first.guardian_pid), why="mongod and its guardian end")
    with open_embedded(folder) as second, client(second) as connected:
        assert second.uri == first.uri
        assert connected.embedded.things.find_one() == {"_id": "kept"}


@pytest.mark.long
def test_a_port_that_was_taken_meanwhile_is_exchanged(folder: Path, until: Until) -> None:
    with open_embedded(folder) as first, client(first) as connected:
        connected.embedded.things.insert_one({"_id": "kept"})
    until(lambda: is_gone(first.guardian_pid), why="mongod and its guardian end")
    with busy(port_of(first)), open_embedded(folder) as second, client(second) as connected:
        assert connected.admin.command("hello")["hosts"] == [f"127.0.0.1:{port_of(second)}"]
        assert connected.embedded.things.find_one() == {"_id": "kept"}


@pytest.mark.long
def test_a_port_that_is_snatched_during_the_start_is_exchanged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'[ -e {tmp_path}/once ] && exec {find_mongod()} "$@"; : > {tmp_path}/once'
    late = program(tmp_path / "late", f"{script}; echo 'Address already in use'; exit 48")
    monkeypatch.setenv("MONGOQ_MONGOD", str(late))
    with open_embedded(folder) as server, client(server) as connected:
        assert connected.admin.command("ping")["ok"] == 1


@pytest.mark.long
def test_a_killed_mongod_is_started_again_by_the_next_who_opens(folder: Path) -> None:
    with open_embedded(folder) as first, client(first) as connected:
        connected.embedded.things.insert_one({"_id": "kept"})
        os.kill(first.pid, signal.SIGKILL)
        with open_embedded(folder) as second, client(second) as again:
            assert second.pid != first.pid
            assert again.embedded.things.find_one() == {"_id": "kept"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's parent-death signal")
@pytest.mark.long
def test_mongod_dies_with_a_killed_guardian(folder: Path, until: Until) -> None:
    with open_embedded(folder) as first:
        os.kill(first.guardian_pid, signal.SIGKILL)
        until(lambda: is_gone(first.pid), why="the kernel kills mongod")
        (folder / "server.json").unlink()


@pytest.mark.long
def test_a_killed_guardian_is_replaced_by_the_next_who_opens(folder: Path) -> None:
    with open_embedded(folder) as first, client(first) as connected:
        connected.embedded.things.insert_one({"_id": "kept"})
        os.kill(first.guardian_pid, signal.SIGKILL)
        with open_embedded(folder) as second:
            # The old port again: those who were connected find the new server there.
            assert (second.uri, second.pid != first.pid) == (first.uri, True)
            assert connected.embedded.things.find_one() == {"_id": "kept"}


@pytest.mark.long
def test_a_guardian_that_is_asked_to_end_stops_mongod_first(folder: Path, until: Until) -> None:
    with open_embedded(folder) as server:
        os.kill(server.guardian_pid, signal.SIGTERM)
        until(lambda: is_gone(server.pid), why="mongod stops")
        until(lambda: is_gone(server.guardian_pid), why="the guardian ends")


@pytest.mark.long
def test_a_state_file_that_a_crash_left_is_not_believed(folder: Path, until: Until) -> None:
    with open_embedded(folder) as first:
        pass
    until(lambda: is_gone(first.guardian_pid), why="mongod and its guardian end")
    (folder / "server.json").write_text(f'{{"port": 1, "mongod": {os.getpid()}, "guardian": 1}}')
    with open_embedded(folder) as server, client(server) as connected:
        assert connected.admin.command("ping")["ok"] == 1
