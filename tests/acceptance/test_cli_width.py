"""At 80x24 no line of any command wraps, whatever queues, tasks and errors are called."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import secrets
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import typer

from mongoq import Exponential, NewTask, Queue, Task
from mongoq.cli import main
from mongoq.cli.app import app
from mongoq.cli.printing.width import cells
from mongoq.embedded.server import EmbeddedServer

COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- of whichever click it is
LONG = "queue-of-a-very-long-name-that-somebody-has-chosen-for-reasons-of-their-own"
LIMIT = "a-limit-of-a-very-long-name-that-somebody-has-chosen-for-reasons"[:64]
NAME = f"package.module.{'function_' * 10}name@3"
TEXT = f"{'שלום עולם ' * 9}{'👍🏽❤️🇨🇭 ' * 9}{'鍵' * 60}{'e' + chr(0x301) * 3}{'x' * 200}"
KEY = "kind 👍🏽 שלום"
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Wide(TimeoutError):
    """An error of a very long name."""


Wide.__name__ = Wide.__qualname__ = "AnErrorOfAVeryLongNameThatSomebodyHasChosenForReasonsOfTheirOwnError"


@pytest.fixture(scope="module")
def nasty(server: EmbeddedServer) -> Iterator[Queue]:
    """Give a namespace whose tasks have long names, emoji and right-to-left texts, with all states and a schedule."""

    def handler(task: Task) -> None:
        raise Wide(TEXT)

    with Queue(server.uri, namespace=f"cli-{secrets.token_hex(4)}") as queue:
        made = NewTask({"text": TEXT, "n": 1}, queue=LONG, name=NAME, max_retries=0, payload={"text": TEXT})
        queue.limit(LIMIT, concurrency=1, by="text")
        queue.new_many([made] * 3)
        queue.run(handler, queues=[LONG], burst=True)
        queue.new({"text": TEXT}, queue=LONG, key=KEY, priority=1_000_000, name=NAME)
        queue.new({}, queue=LONG, key=f"{'long-key-' * 13}", delay=9_999_999)
        backoff = Exponential(1.5, factor=3, max=86_399)
        queue.new(
            {"text": TEXT}, key="child", after=[KEY], max_retries=0, backoff=backoff, retry_on=[Wide],
            on_complete=NewTask({"text": TEXT}, queue=LONG, name=NAME), failure_message=TEXT[:200],
        )  # fmt: skip
        with queue.batch(then=NewTask({"text": TEXT}, queue=LONG, name=NAME), key=f"batch-{KEY}") as batch:
            batch.new_many(
                [NewTask({"text": TEXT}, key=f"limited-{KEY}-{n}", queue=LONG, limits=LIMIT) for n in (1, 2)]
            )
        queue.claim_many(1, queues=[LONG])
        queue.cancel(KEY)
        tick = NewTask(queue=LONG, name=NAME)
        queue.schedule(f"schedule-{'of-a-long-name-' * 5}", "*/5 * * * *", tick, tz="Europe/Zurich")
        queue.pause(LONG, reason=TEXT[:400], by=TEXT[:300])
        yield queue


@pytest.fixture
def lines(nasty: Queue, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Give `lines(*arguments)`: what a command prints on a terminal of 80 columns, on both streams."""
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.setenv("MONGOQ_NAMESPACE", nasty.namespace)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")

    def run(*arguments: str) -> list[str]:
        said = Terminal(), Terminal()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", said[0])
            patch.setattr(sys, "stderr", said[1])
            main(arguments)
        for number, handler in before.items():  # `worker` and `dev` have set their own
            signal.signal(number, handler)
        return [line for stream in said for line in ANSI.sub("", stream.getvalue()).splitlines()]

    return run


SHOWN = (
    ("stats",), ("stats", "--attempts"), ("stats", "--name", NAME), ("ls",), ("ls", "--state", "failed"),
    ("ls", "--state", "scheduled"), ("ls", "--state", "parked"), ("ls", "--queue", LONG), ("ls", "--running-for", "0"),
    ("ls", "--sort", "error"), ("ls", "--name", NAME), ("show", KEY), ("show", "child"), ("show", f"batch-{KEY}"),
    ("show", f"limited-{KEY}-2"), ("show", "nobody " * 20), ("why", KEY), ("why", "child"), ("why", f"limited-{KEY}-2"),
    ("failures",), ("failures", "--limit", "2"), ("queues",), ("workers",), ("schedules",), ("batches",), ("limits",),
    ("limits", "show", LIMIT), ("limits", "show", "nobody"), ("pause",), ("doctor",), ("time",), ("top",),
    ("cancel", "nobody " * 20), ("rerun", KEY), ("delete", KEY), ("move", KEY, "--to", "other"),
    ("update", KEY, "n=1"), ("purge", "--queue", "nobody", "--yes"), ("redrive", LONG, "nobody"),
    ("stop-worker", TEXT[:200]), ("x" * 200,), ("ls", "--state", "x" * 200), ("retry", "nobody " * 20),
    ("rerun", "--error", "Nothing", "--name", NAME), ("new", "9lives=1"), ("new", f"text={TEXT}", "--queue", "other"),
    ("resume", "nobody-paused-this-" * 5), ("drain", "nobody", "--timeout", "0.1s"),
    ("export", "--output", "/nowhere/x"),
    ("import", "/nowhere/" + "x" * 200), ("worker", f"no_such_module_{'x' * 90}:queue"),
    ("worker-health", "--port", "1"), ("dashboard", "--host", "203.0.113.1"), ("init",),
    ("schedules", "pause", "nobody-" * 20), ("dev", "--path", f"/proc/{'x' * 100}"),
)  # fmt: skip
UNTRIED = {"demo"}
"""It runs for seconds: `test_demo` looks at what it prints."""


def test_every_command_is_among_those_that_are_tried() -> None:
    assert {*COMMANDS} - {arguments[0] for arguments in SHOWN} == UNTRIED


@pytest.mark.parametrize("arguments", SHOWN, ids=lambda one: " ".join(one)[:40])
def test_no_line_wraps_at_80_columns(lines: Callable[..., list[str]], arguments: tuple[str, ...]) -> None:
    printed = lines(*arguments)
    assert printed
    assert [line for line in printed if cells(line) > 80] == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_line_of_a_help_wraps(lines: Callable[..., list[str]], command: str) -> None:
    printed = lines(*([command] if command else []), "--help")
    assert len(printed) > 5
    assert [line for line in printed if cells(line) > 80] == []


def typed(nasty: Queue, uri: str, arguments: tuple[str, ...], keys: bytes = b"") -> str:
    """What `mongoq` writes to a real terminal of 80x24 until it ends; `keys` are typed once it has written."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"MONGOQ_URI": uri, "MONGOQ_NAMESPACE": nasty.namespace, "TERM": "xterm", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "mongoq", *arguments]
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        written = b""
        with suppress(OSError):  # the end of a terminal
            while piece := os.read(leader, 65_536):
                written += piece
                if keys and b"handlers busy" in written:
                    os.write(leader, keys)
                    keys = b""
        os.close(leader)
        assert process.wait(60) == 0
    return ANSI.sub("", written.decode())


@pytest.mark.parametrize("arguments, keys", [(("show", KEY), b""), (("top",), b"q")], ids=["show", "top"])
def test_no_line_wraps_in_a_real_terminal(
    nasty: Queue, server: EmbeddedServer, arguments: tuple[str, ...], keys: bytes
) -> None:
    printed = typed(nasty, server.uri, arguments, keys).splitlines()
    assert len(printed) > 20
    assert [line for line in printed if cells(line) > 80] == []
