"""Commands that run until a signal comes, as processes of their own, and what only a process can show."""

from __future__ import annotations

import json
import os
import pty
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mongoq import Queue, TaskState
from mongoq.embedded.server import EmbeddedServer

ROOT = Path(__file__).parents[2]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def queue(server: EmbeddedServer) -> Iterator[Queue]:
    with Queue(server.uri, namespace=f"cli-{secrets.token_hex(4)}") as queue:
        yield queue


@pytest.fixture
def start(queue: Queue, server: EmbeddedServer, tmp_path: Path) -> Iterator[Start]:
    """Give `start(*arguments)`: `mongoq` in a process, in a folder of its own, killed where it is left over."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "MONGOQ_URI": server.uri,
        "MONGOQ_NAMESPACE": queue.namespace,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "TMPDIR": str(tmp_path),
        "COLUMNS": "80",
    }

    def run(*arguments: str, out: int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mongoq", *arguments],
            cwd=tmp_path, env=environment | more, stdout=out, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_worker_runs_tasks_of_its_queues_and_ends_with_0_on_sigterm(
    start: Start, queue: Queue, until: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "def send(task):\n"
        "    if task.tags['n'] == 2:\n"
        "        raise ValueError('red \\x1b[31m')\n"
        "    return {'sent': task.tags['n']}\n"
    )
    tasks = queue.new_many([{"n": number} for number in range(3)], queue="bulk")
    worker = start("worker", "app:send", "--queues", "urgent,bulk", "--workers", "2", "--max-retries", "0", "--json")
    until(lambda: queue.stats()["bulk"].completed == 2, why="two tasks are completed")
    until(lambda: queue.stats()["bulk"].failed == 1, why="one has failed")
    (member,) = queue.workers()
    assert (member.pid, member.queues, member.workers) == (worker.pid, ("urgent", "bulk"), 2)
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert json.loads(out)["endings"] == {"complete": 2, "fail": 1}
    assert "INFO mongoq.cli: worker starts: app:send, queues urgent,bulk," in err
    assert "\x1b" not in err
    assert queue.get(tasks[0].key).result == {"sent": 0}
    assert queue.workers() == []


def test_a_worker_ends_without_tidying_what_it_imported_and_after_its_handlers_last_word(
    start: Start, queue: Queue, until: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import atexit, gc\n"
        "atexit.register(print, 'the last word', end='')\n"
        "def send(task): return {'spared': gc.get_freeze_count()}\n"
    )
    key = queue.new().key
    worker = start("worker", "app:send")
    until(lambda: queue.get(key).finished, why="it works")
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=60)
    assert (worker.returncode, out) == (0, "the last word")
    assert queue.get(key).result["spared"] > 1_000


def test_a_burst_ends_by_itself(start: Start, queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def send(task): pass\n")
    queue.new_many([{}] * 20)
    worker = start("worker", "app:send", "--burst", "--keep-completed", "0")
    worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert queue.size() == 0


def test_dev_runs_a_server_of_its_own_until_a_signal(start: Start, tmp_path: Path, until: Callable[..., None]) -> None:
    process = start("dev", "--path", "data", "--json")
    assert process.stdout is not None
    shown = json.loads(process.stdout.readline())
    with Queue(shown["uri"]) as queue:
        queue.new({"hello": "world"}, key="k")
        assert queue.get("k").tags == {"hello": "world"}
    second = start("dev", "--path", "data")
    assert second.stdout is not None
    assert second.stdout.readline() == f"export MONGOQ_URI='{shown['uri']}'\n"
    for number, one in ((signal.SIGTERM, process), (signal.SIGINT, second)):
        one.send_signal(number)
        assert one.wait(timeout=60) == 0
    until(lambda: not (tmp_path / "data" / "server.json").exists(), why="the server stops with them")


def test_a_demo_without_a_uri_completes_every_task_and_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    demo = start("demo", "--seconds", "1", "--workers", "2", "--json", MONGOQ_URI="")
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, "")
    shown = json.loads(out)
    assert shown["tasks"] == shown["completed"] >= 300
    assert shown["unfinished"] == 0
    assert set(shown["priorities"]) == {"0", "5", "9"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("mongoq-demo-")]


def test_a_demo_that_is_interrupted_leaves_no_task_that_waits(
    start: Start, queue: Queue, until: Callable[..., None]
) -> None:
    demo = start("demo", "--seconds", "60", "--workers", "1", "--namespace", queue.namespace)
    until(lambda: any(row.completed for row in queue.stats().values()), why="tasks are completed")
    demo.send_signal(signal.SIGINT)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert not err or err.startswith("mongoq: interrupted; tasks enqueued before it: "), (
        "it may be enqueueing just then"
    )
    assert queue.size() == 0
    assert queue.workers() == []


def test_stats_are_watched_until_ctrl_c(start: Start, queue: Queue) -> None:
    queue.new({})
    watching = start("stats", "--watch", "0.1", "--json")
    assert watching.stdout is not None
    for _ in range(3):
        assert json.loads(watching.stdout.readline())["queues"]["default"][TaskState.READY] == 1
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (130, "")


def test_a_closed_pipe_ends_a_command_quietly(start: Start, queue: Queue) -> None:
    queue.new({})
    watching = start("stats", "--watch", "0.1")
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.stdout.close()
    assert watching.wait(timeout=60) == 0
    assert watching.stderr is not None
    assert watching.stderr.read() == ""


def test_a_terminal_gets_colour_and_never_the_control_characters_of_a_task(start: Start, queue: Queue) -> None:
    queue.new({"evil": "[red]\x1b[31m\x07"}, key="evil\x1b[2Jkey")
    master, slave = pty.openpty()
    listing = start("ls", out=slave, TERM="xterm")
    os.close(slave)
    drawn = b""
    with suppress(OSError):  # the end of a terminal
        while piece := os.read(master, 4096):
            drawn += piece
    os.close(master)
    listing.communicate(timeout=60)
    assert listing.returncode == 0
    assert b"\x1b[2m" in drawn
    assert b"evil\\x1b[2Jkey" in drawn
    assert b"evil=[red]\\x1b[31m\\x07" in drawn
    assert b"\x1b[31m" not in drawn
