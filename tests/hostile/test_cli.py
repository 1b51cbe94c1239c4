# ruff: noqa: E501 -- tables of inputs
"""The command line among hostile arguments, hostile tasks and secrets."""

from __future__ import annotations

import io
import json
import logging
import secrets
import socket
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from mongoq import MongoqError, Queue
from mongoq.cli import main
from tests.hostile.test_documents import document_with, given

CANARY = "canary-9f3b"
UNSAFE = [
    *map(chr, (*range(9), 11, 12, 13, *range(14, 32), 127, *range(0x80, 0xA0), 0x200F, 0x2028, 0x202E, 0x2066, 0xFEFF))
]
DRIVING = f"\x1b[2J\x1b]0;t\x07\r\u202e\u2066{''.join(UNSAFE[1:])}"

Cli = Callable[..., tuple[int, str, str]]

NEW: tuple[tuple[str, ...], ...] = (
    ("",), ("=",), ("a",), ("=1",), ("$where=1",), ("a.b=1",), ("a b=1",), ("\x1b[31m=1",), ("\u202e=1",), ("a\udc80=1",),
    ('a={"$gt":1}',), ('a={"x.y":1}',), ('a={"":1}',), ("a=9223372036854775808",), ("a=1" + "0" * 400,),
    ("a=" + "[" * 100 + "]" * 100,), ("a=" + "x" * 2**21,), ("a=\udcff",), ("a=\ud800",),
    ("a=1", "a=2"), ("a=1", "--queue", "$x"), ("a=1", "--queue", "a\nb"), ("a=1", "--queue", ""), ("a=1", "--key", ""),
    ("a=1", "--key", "a\0b"), ("a=1", "--key", "x" * 513), ("a=1", "--unique", "\udc80"), ("a=1", "--priority", "1.5"),
    ("a=1", "--priority", str(2**63)), ("a=1", "--priority", "nan"), ("a=1", "--delay", "-1s"), ("a=1", "--delay", "1y"),
    ("a=1", "--delay", "nan"), ("a=1", "--delay", "9" * 12 + "d"), ("a=1", "--delay", "1e9"), ("a=1", "--delay", ""),
    ("a=1", "--delay", "\u0661s"), ("a=1", "--max-retries", "-1"),
    ("a=1", "--max-retries", str(2**40)), ("a=1", "--backoff", "x"), ("a=1", "--deadline", "0"),
    ("a=1", "--on-conflict", "drop"), ("a=1", "--no-such"), *((f"t{n}=1",) * 2 for n in range(1)),
    tuple(f"t{n}=1" for n in range(65)),
)  # fmt: skip
OTHERS: tuple[tuple[str, ...], ...] = (
    ("ls", "--where", "a"), ("ls", "--where", "=1"), ("ls", "--where", '$where="sleep(9000)"'), ("ls", "--where", 'a={"$gt":0}'),
    ("ls", "--where", "a.b=1"), ("ls", "--where", "a=\udc80"), ("ls", "--limit", "-1"), ("ls", "--limit", "x"),
    ("ls", "--state", '{"$ne":1}'), ("ls", "--state", ""), ("show", ""), ("show", '{"$gt":""}'), ("show", "\udc80"),
    ("show", "\x1b[2J"), ("show", "a\0b"), ("show", "x" * 2**20), ("stats", "--watch", "0"), ("stats", "--watch", "nan"),
    ("stats", "--namespace", "system.x"), ("stats", "--namespace", "a\0b"), ("stats", "--namespace", "\x1b[31m"),
    ("worker", "os"), ("worker", ":"), ("worker", "os:"), ("worker", "\x1b[31m:x"), ("worker", "../x:y"), ("worker", ".:x"),
    ("worker", "json:loads", "--queues", "$x"), ("worker", "json:loads", "--queues", ""),
    ("worker", "json:loads", "--executor", "fork"), ("worker", "json:loads", "--workers", "0"),
    ("worker", "json:loads", "--lease", "0"), ("\x1b[2J",), ("--uri",), ("x" * 2**20,),
)  # fmt: skip


@pytest.fixture
def mongoq(fresh: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Give a function that runs a command on a ground of its own and returns exit code, stdout and stderr."""
    monkeypatch.setenv("MONGOQ_URI", fresh.uri)
    monkeypatch.setenv("MONGOQ_NAMESPACE", fresh.namespace)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert not [one for one in UNSAFE if one in out + err], ascii(out + err)
        assert "Traceback" not in err
        assert "a fault of mongoq itself" not in err
        return code, out, err

    return run


def test_hostile_arguments_are_one_line_and_exit_code_and_store_nothing(fresh: Any, mongoq: Cli, tally: Any) -> None:
    commands = [*(("new", *row) for row in NEW), *OTHERS]
    for command in commands:
        tally["inputs"] += 1
        tally["crashes"] += 1
        code, out, err = mongoq(*command)
        assert code in (1, 2), (command, code, out[:200])
        assert not out
        assert err.startswith("mongoq: "), err[:200]
        assert err.count("\n") == 1
        tally["crashes"] -= 1
    assert fresh.stored() == {}
    fresh.moves_on()


def test_no_task_drives_a_terminal_in_any_command(fresh: Any, mongoq: Cli, tally: Any) -> None:
    rows = [*(row.values[0] for row in given()), {"_id": DRIVING, "tags": {DRIVING: DRIVING}, "payload": DRIVING}]
    rows += [{name: DRIVING} for name in ("queue", "hold", "note", "unique", "moved_from", "result", "progress")]
    rows += [{"hold": {"worker": DRIVING, "token": DRIVING, "until": DRIVING}}]
    rows += [{"errors": [{"type": DRIVING, "message": DRIVING, "traceback": DRIVING, "worker": DRIVING}]}]
    rows += [{"last_error": {"type": DRIVING, "message": DRIVING, "traceback": DRIVING, "worker": DRIVING}}]
    rows += [{"_id": "bad-utf-8", "tags": {DRIVING: {DRIVING: [DRIVING]}}}, {"policy": {DRIVING: DRIVING}}]
    fresh.queue.init()
    keys = []
    for number, fields in enumerate(rows):
        document = document_with({"_id": f"bad-{number}", **fields})
        if fields.get("unique") != DRIVING and len(str(document)) < 2**17:
            fresh.collection.insert_one(document)
            keys.append(document["_id"])
    tally["inputs"] += len(keys)
    tally["crashes"] += len(keys)
    for command in (("ls", "--limit", "1000"), ("stats",)):
        code, out, err = mongoq(*command)
        assert code == 0, err
        code, out, err = mongoq(*command, "--json")
        assert code == 0, err
        assert json.loads(out)
    for key in keys[:440:9] + keys[440:]:
        code, out, err = mongoq("show", str(key))
        assert code == 0 or (code in (1, 2) and not out and err.count("\n") == 1), (key, err)
    tally["crashes"] -= len(keys)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def everything(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Give a function that returns all that was said: stdout, stderr and every logger at DEBUG."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "mongoq", "pymongo")}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)

    def said() -> str:
        out, err = capfd.readouterr()
        return out + err + text.getvalue()

    yield said
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


COMMANDS = (
    ("stats",), ("stats", "--json"), ("new", "a=1"), ("new", "a=1", "--json"), ("new", "$a=1"), ("ls",), ("ls", "--json"),
    ("show", "k"), ("show", "k", "--json"), ("init",), ("time",), ("time", "--json"), ("worker", "json:loads", "--burst"),
    ("worker", "json:none"), ("demo", "--seconds", "1"), ("--help",), ("stats", "--help"), ("nonsense",),
)  # fmt: skip


@pytest.mark.parametrize("place", ["variable", "option"])
@pytest.mark.parametrize("server_is", ["there", "gone", "malformed"])
def test_a_password_is_said_by_no_command(
    server: Any, everything: Callable[[], str], monkeypatch: pytest.MonkeyPatch, place: str, server_is: str
) -> None:
    where = server.uri.removeprefix("mongodb://") if server_is == "there" else f"127.0.0.1:{free_port()}/?x=1"
    short = "&serverSelectionTimeoutMS=150&connectTimeoutMS=150"
    # The server asks for no password: as the application's name it is sent there and back all the same.
    uri = (
        f"mongodb://{where}{short}&appName={CANARY}"
        if server_is == "there"
        else f"mongodb://bob:{CANARY}@{where}{short}"
    )
    if server_is == "malformed":
        uri = f"mongodb://bob:{CANARY}/{CANARY}@h:port/?x={CANARY}"
    monkeypatch.setenv("MONGOQ_NAMESPACE", f"t-{secrets.token_hex(4)}")
    monkeypatch.setenv("MONGOQ_URI", uri if place == "variable" else "")
    monkeypatch.setenv("MONGOQ_DEBUG", "1")
    for command in COMMANDS:
        if server_is == "there" and command[0] == "demo":
            continue
        main((*command, "--uri", uri) if place == "option" else command)
    said = everything()
    ours = [line for line in said.splitlines() if CANARY in line]
    assert not ours, ours[:3]


@pytest.mark.parametrize("uri", [
    "mongodb://bob:{}@127.0.0.1:1/db", "mongodb://bob:{}/x@h/db", "mongodb://bob:{}@h:port/db", "mongo://bob:{}@h", "{}",
    "mongodb+srv://bob:{}@no.such.host.invalid/db", "embedded:/proc/{}",
])  # fmt: skip
def test_a_password_is_in_no_error_nor_its_traceback(uri: str) -> None:
    target = uri.format(CANARY) + ("" if "?" in uri or "embedded" in uri else "?serverSelectionTimeoutMS=100")

    def use() -> None:
        with Queue(target) as queue:
            assert CANARY not in repr(queue)
            queue.new()

    with pytest.raises((MongoqError, OSError)) as caught:
        use()
    if uri.startswith("embedded"):
        return  # a folder is no secret
    error: BaseException | None = caught.value
    assert CANARY not in "".join(traceback.format_exception(error))
    while error is not None:
        assert CANARY not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_text_that_is_no_utf_8_stops_nothing(fresh: Any, client: MongoClient[Any], mongoq: Cli) -> None:
    raw = bytearray(bson.encode(document_with({"tags": {"a": "XX"}})))
    raw[raw.index(b"XX")] = 0xFF
    fresh.collection.insert_one(RawBSONDocument(bytes(raw)))
    assert mongoq("ls")[0] == 0
    assert mongoq("show", "bad", "--json")[0] == 0
    fresh.moves_on()
