"""What goes wrong is one line on stderr, an exit code, and never a secret."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongoq import Queue
from mongoq.cli import main
from mongoq.embedded.server import EmbeddedServer, find_mongod
from mongoq.storage.operations import schema

CANARY = "canary-hunter2"
FAST = "serverSelectionTimeoutMS=150"

COMMANDS = (
    ["stats"], ["stats", "--json"], ["new", "a=1"], ["ls"], ["show", "k"], ["rerun", "k"], ["init"], ["time"],
    ["worker", "json:loads"], ["demo", "--seconds", "1"], ["queues"], ["workers"], ["cancel", "k"], ["delete", "k"],
    ["move", "k", "--to", "q"], ["purge"], ["cancel", "--queue", "q", "--yes"],
)  # fmt: skip

Cli = Callable[..., tuple[int, str, str]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def mongoq(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Give a function that runs a command and returns exit code, stdout and stderr."""
    monkeypatch.delenv("MONGOQ_URI", raising=False)
    monkeypatch.setenv("MONGOQ_NAMESPACE", f"cli-{secrets.token_hex(4)}")

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert CANARY not in out + err
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory, until: Callable[..., None]) -> Iterator[str]:
    """Give host and port of a standalone mongod that wants a password: the user is `root`, the password CANARY."""
    folder = tmp_path_factory.mktemp("standalone")
    port = free_port()
    command = [find_mongod(), "--auth", "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"]
    with (folder / "log").open("wb") as log, subprocess.Popen([*map(str, command)], stdout=log, stderr=log) as process:
        try:
            with MongoClient[Any]("127.0.0.1", port, serverSelectionTimeoutMS=200, directConnection=True) as client:
                until(lambda: answers(client), why="mongod answers")
                # The first user may be made from this host without one.
                client.admin.command("createUser", "root", pwd=CANARY, roles=["root"])
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def answers(client: MongoClient[Any]) -> bool:
    try:
        return bool(client.admin.command("ping"))
    except PyMongoError:
        return False


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unreachable_server_is_exit_code_3_and_a_line_without_its_password(
    command: list[str], mongoq: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MONGOQ_URI", f"mongodb://bob:{CANARY}@{where}/shop?{FAST}")
    code, out, err = mongoq(*command)
    assert code == 3
    assert not out
    assert err.startswith("mongoq: no MongoDB")
    assert f"{where}/shop" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_password_is_exit_code_1_and_a_line_that_says_so(
    command: list[str], mongoq: Cli, standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOQ_URI", f"mongodb://root:{CANARY}x@{standalone}/?{FAST}")
    code, _, err = mongoq(*command)
    assert code == 1
    assert "password is wrong" in err
    assert err.count("\n") == 1


def test_a_password_in_uri_is_warned_of_and_never_shown(mongoq: Cli, standalone: str) -> None:
    code, _, err = mongoq("--uri", f"mongodb://root:{CANARY}@{standalone}/", "stats")
    assert code == 0
    assert err.startswith("mongoq: warning: a password in --uri is visible")
    assert err.count("\n") == 1


def test_a_standalone_server_works_and_init_and_worker_say_what_it_lacks(
    mongoq: Cli, standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOQ_URI", f"mongodb://root:{CANARY}@{standalone}/")
    for command in (["init"], ["worker", "json:loads", "--burst"]):
        code, _, err = mongoq(*command)
        assert code == 0
        assert "standalone server: no transactions" in err
        assert "replica set (one node is enough)" in err
    for command in (["new", "a=1"], ["stats"], ["ls"], ["time"]):
        code, _, err = mongoq(*command)
        assert (code, err) == (0, "")


def test_a_replica_set_is_not_warned_of(mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    assert mongoq("init")[2] == ""


def test_a_missing_index_is_exit_code_1_and_names_init(
    mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.setattr(schema, "SMALL", 1_000)
    namespace = f"bare-{secrets.token_hex(4)}"
    with Queue(server.uri, namespace=namespace) as queue, MongoClient[Any](server.uri) as client:
        queue.new_many([{"n": number} for number in range(1001)])
        client["mongoq"][f"{namespace}.tasks"].drop_index("claim")
    for command in (["stats"], ["worker", "json:loads"]):
        code, _, err = mongoq("--namespace", namespace, *command)
        assert code == 1
        assert "`mongoq init` makes it" in err
        assert err.count("\n") == 1
    assert mongoq("--namespace", namespace, "init")[1] == f"made {namespace}.tasks.claim\n"
    assert mongoq("--namespace", namespace, "stats")[0] == 0


@pytest.mark.parametrize(
    "command, hint",
    [
        (["nonsense"], "no such command"),
        (["new", "--nonsense"], "--nonsense"),
        (["new", "no-equals"], "is not KEY=VALUE"),
        (["new", "a=1", "a=2"], "given twice"),
        (["new", "a=1", "--delay", "soon"], "10s, 5m, 2h, 1d"),
        (["new", "9lives=1"], "tags name"),
        (["new", "n=99999999999999999999"], "64 bits"),
        (["new", "--priority", "high"], "--priority"),
        (["ls", "--state", "lost"], "--state"),
        (["ls", "--limit", "0"], "--limit"),
        (["ls", "--uri"], "--uri"),
        (["show"], "KEY"),
        (["stats", "--namespace", "$bad"], "namespace"),
        (["worker", "no_colon"], "neither MODULE:QUEUE nor MODULE:FUNCTION"),
        (["worker", "no_such_module:send"], "no module 'no_such_module'"),
        (["worker", "json:load_s"], "did you mean 'loads'"),
        (["worker", "sys:version"], "type is str"),
        (["worker", "json:loads", "--lease", "10ms"], "lease"),
        (["worker", "json:loads", "--on-dependency-error", "stopp"], "did you mean 'stop'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_is_exit_code_2_and_a_line_that_names_it(
    command: list[str], hint: str, mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    code, out, err = mongoq(*command)
    assert code == 2
    assert not out
    assert err.startswith("mongoq: ")
    assert hint in err
    assert err.count("\n") == 1


def test_a_module_that_fails_at_its_import_is_one_line(
    mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, source, told in (
        ("cli_raises", "1 / 0", "ZeroDivisionError"),
        ("cli_exits", "raise SystemExit(0)", "SystemExit"),
        ("cli_syntax", "def (", "SyntaxError"),
        ("cli_imports", "import cli_nowhere", "No module named 'cli_nowhere'"),
    ):
        (tmp_path / f"{name}.py").write_text(source)
        code, _, err = mongoq("worker", f"{name}:work")
        assert code == 2
        assert told in err
        assert err.count("\n") == 1


def test_a_worker_whose_handler_raises_stop_ends_with_1(
    mongoq: Cli, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cli_stopping.py").write_text(
        "from mongoq import Stop\n\ndef work(task):\n    raise Stop('the disk is full')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    mongoq("new", "--key", "k")
    code, _, err = mongoq("worker", "cli_stopping:work")
    assert code == 1
    assert "a handler has stopped this worker: the disk is full" in err


def test_a_refused_change_ends_a_worker_that_was_told_so(
    mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.setenv("MONGOQ_NAMESPACE", "cli-refused")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    source = "from mongoq import NewTask\ndef work(task):\n    return [NewTask(key=task.key)]\n"
    (tmp_path / "cli_refused.py").write_text(source)
    mongoq("new", "a=1", "--max-retries", "0", "--key", "a")
    code, _, err = mongoq("worker", "cli_refused:work", "--on-dependency-error", "stop", "--error-queue")
    assert code == 1
    assert "the change was refused: insert 'a': a task has this key already" in err.splitlines()[-1]
    assert mongoq("redrive", "default/err", "--yes")[1] == "redrive: 1 task\n"


def test_no_mongodb_named_says_how_to_name_one(mongoq: Cli) -> None:
    code, _, err = mongoq("stats")
    assert code == 2
    assert "set MONGOQ_URI" in err


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://bob:{CANARY}/1@h/db", f"mongodb://bob:1/{CANARY}@h/db", f"mongodb://bob:{CANARY}@h:port/db",
 f"mongodb://bob:{CANARY}@@h/db", f"mongo://bob:{CANARY}@h/db", CANARY,
        f"mongodb://bob:1?{CANARY}@h/db",
    ],
)  # fmt: skip
def test_a_malformed_uri_is_exit_code_2_and_is_not_repeated(
    uri: str, mongoq: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOQ_URI", uri)
    code, _, err = mongoq("stats")
    assert code == 2
    assert err.count("\n") == 1


def test_help_never_shows_the_uri(mongoq: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGOQ_URI", f"mongodb://bob:{CANARY}@h/db")
    for command in ("", "stats", "worker", "demo", "new"):
        assert mongoq(*filter(None, [command, "--help"]))[0] == 0


def test_an_unknown_task_is_exit_code_1(mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    assert mongoq("show", "nope") == (1, "", "mongoq: no task has the key 'nope'\n")
