"""`mongoq worker MODULE:QUEUE`: the module's own queue object, with its functions, its options and its hooks."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mongoq import Queue, TaskState
from mongoq.embedded.server import EmbeddedServer

ROOT = Path(__file__).parents[2]

Start = Callable[..., subprocess.Popen[str]]

APP = """
import os
from mongoq import {kind}
from mongoq.events import TaskEnded

queue = {kind}(max_retries=0)


@queue.lifespan
def opened():
    print("open", os.getpid(), flush=True)
    yield "shared"
    print("closed", os.getpid(), flush=True)


@queue.middleware
def noted(attempt, task):
    print("before", task.name, attempt.state, flush=True)
    yield


@queue.on(TaskEnded)
def ended(event):
    print("ended", event.task.name, event.state, flush=True)


@queue.task(queue="mail")
def welcome(user: int) -> str:
    return f"hello {{user}}"
"""


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
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mongoq", *arguments], cwd=tmp_path, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("executor", ["threads", "processes", "asyncio"])
def test_a_queue_is_run_with_its_functions_and_hooks(start: Start, queue: Queue, tmp_path: Path, executor: str) -> None:
    kind = "AsyncQueue" if executor == "asyncio" else "Queue"
    (tmp_path / "app.py").write_text(APP.format(kind=kind))
    key = queue.new({"user": 42}, queue="mail", name="welcome").key
    chosen = [] if executor == "asyncio" else ["--executor", executor]
    worker = start("worker", "app:queue", "--burst", "--workers", "1", "--json", *chosen)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert queue.get(key).result == "hello 42"
    *lines, figures = out.splitlines()
    assert {line.split()[0] for line in lines} == {"open", "before", "ended", "closed"}
    assert "before welcome shared" in lines
    assert "ended welcome completed" in lines
    assert json.loads(figures)["endings"] == {"complete": 1}
    assert "worker starts: app:queue, queues of its functions" in err


@pytest.mark.parametrize("kind", ["Queue", "AsyncQueue"])
def test_a_queue_of_either_tempo_drains_on_sigterm(
    start: Start, queue: Queue, tmp_path: Path, kind: str, until: Callable[..., None]
) -> None:
    (tmp_path / "app.py").write_text(APP.format(kind=kind))
    key = queue.new({"user": 1}, queue="mail", name="welcome").key
    worker = start("worker", "app:queue", "--workers", "1")
    until(lambda: queue.get(key).finished, why="it works")
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert out.splitlines()[-1].startswith("closed")
    assert "SIGTERM: no more tasks are claimed" in err


def test_modules_are_imported_before_the_queue_runs(start: Start, queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from mongoq import Queue\nqueue = Queue()\n")
    (tmp_path / "more.py").write_text("from shop import queue\n@queue.task\ndef late() -> int:\n    return 7\n")
    key = queue.new(name="late").key
    worker = start("worker", "shop:queue", "--import", "more", "--burst")
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert queue.get(key).result == 7


@pytest.mark.parametrize(
    "options, told",
    [
        (["--max-retries", "3"], "--max-retries belongs to the queue: set it where app:queue is made"),
        (["--namespace", "other"], "--namespace belongs to the queue"),
    ],
)
def test_an_option_of_the_queue_is_refused_beside_one(
    start: Start, tmp_path: Path, options: list[str], told: str
) -> None:
    (tmp_path / "app.py").write_text(APP.format(kind="Queue"))
    worker = start("worker", "app:queue", *options)
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert told in err


def test_a_worker_starts_anew_when_a_source_file_changes(
    start: Start, queue: Queue, tmp_path: Path, until: Callable[..., None]
) -> None:
    def answering(number: int) -> str:
        return f"def send(task):\n    return {number}\n"

    file = tmp_path / "app.py"
    file.write_text(answering(1))
    worker = start("worker", "app:send", "--reload", "--workers", "1")

    key = queue.new().key
    until(lambda: queue.get(key).finished, why="it works")
    assert queue.get(key).result == 1
    file.write_text("from pathlib import Path\nPath('tried').touch()\n1 / 0\n")
    until((tmp_path / "tried").exists, why="it has started again")
    file.write_text(answering(2))
    key = queue.new().key
    until(lambda: queue.get(key).finished, why="it works again")
    assert (queue.get(key).state, queue.get(key).result) == (TaskState.COMPLETED, 2)
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert "a source file has changed: the worker starts again" in err
    assert "the module app cannot be imported: ZeroDivisionError" in err


def test_a_worker_that_ends_by_itself_is_not_started_anew(start: Start, queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def send(task): pass\n")
    queue.new()
    worker = start("worker", "app:send", "--burst", "--reload")
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert queue.size() == 0
