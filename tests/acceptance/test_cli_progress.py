"""Long commands show on a terminal how far they are, and say how far they came when they break off."""

from __future__ import annotations

import contextlib
import io
import secrets
import signal
from collections.abc import Callable, Iterator

import pytest

from mongoq import NewTask, Progress, Queue, StorageUnavailable
from mongoq.cli import entry, main, progress
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations import bulk


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.hear: Callable[[str], object] = lambda text: None

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.hear(text)
        return super().write(text)


@pytest.fixture
def queue(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr(bulk, "BATCH", 2)
    monkeypatch.setattr(progress, "AFTER", 0)
    monkeypatch.setattr(progress, "EVERY", 0)
    namespace = f"t-{secrets.token_hex(4)}"
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.setenv("MONGOQ_NAMESPACE", namespace)
    with Queue(server.uri, namespace=namespace) as queue:
        queue.new_many([NewTask() for _ in range(5)])
        yield queue


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def run(terminal: Terminal, *command: str) -> int:
    """Run a command whose stderr is this one."""
    with contextlib.redirect_stderr(terminal):
        return main(command)


@pytest.mark.parametrize("command", [["cancel"], ["delete"], ["move", "--to", "elsewhere"]])
def test_an_act_on_many_shows_how_far_it_is(queue: Queue, terminal: Terminal, command: list[str]) -> None:
    assert run(terminal, *command, "--queue", "default", "--yes") == 0
    shown = [line.removeprefix("\x1b[K") for line in terminal.getvalue().split("\r")]
    verb = command[0]
    assert shown == ["", *(f"{verb}: {n} of 5 ({20 * n} %)" for n in (2, 4, 5)), ""]


def test_a_purge_shows_how_far_it_is(queue: Queue, terminal: Terminal) -> None:
    queue.cancel_all(queue="default")
    assert run(terminal, "purge", "--yes") == 0
    assert "purge: 4 of 5 (80 %)" in terminal.getvalue()


def test_nothing_is_shown_to_a_pipe_or_beside_json(
    queue: Queue, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(terminal, "cancel", "--queue", "default", "--yes", "--json") == 0
    assert terminal.getvalue() == ""
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    assert run(terminal, "delete", "--queue", "default", "--yes") == 0
    assert terminal.getvalue() == ""


def test_one_that_is_interrupted_says_how_far_it_came(queue: Queue, terminal: Terminal) -> None:
    terminal.hear = lambda text: signal.raise_signal(signal.SIGINT) if "cancel: 4" in text else None
    assert run(terminal, "cancel", "--queue", "default", "--yes") == entry.INTERRUPTED
    assert terminal.getvalue().endswith("mongoq: interrupted; tasks written before it: 4\n")
    assert queue.size() == 1


def test_one_that_loses_its_server_says_how_far_it_came(queue: Queue, terminal: Terminal) -> None:
    def lose(text: str) -> None:
        if "delete: 2" in text:
            raise StorageUnavailable("the connection was lost")

    terminal.hear = lose
    assert run(terminal, "delete", "--queue", "default", "--yes") == entry.UNREACHABLE
    assert terminal.getvalue().endswith("mongoq: the connection was lost; tasks written before it: 2\n")
    assert queue.size() == 3


def test_a_build_is_shown_by_its_phase() -> None:
    told = progress.described(Progress("mail.tasks: claim, scanning collection", 1_200, 4_800))
    assert told == "mail.tasks: claim, scanning collection: 1,200 of 4,800 (25 %)"
    assert progress.described(Progress("mail.tasks: claim\x1b[2J", 0)) == "mail.tasks: claim\\x1b[2J: 0"
