"""A worker that was stopped or killed ends, and with it what its handlers have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mongoq import Queue, TaskState

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")])}
INIT = """
import ctypes, os, signal, sys, time
from mongoq.cli.init import fork_as_init
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans below are given to this process, as to process 1
fork_as_init()
def stop(*_):
    sys.exit(5)
signal.signal(signal.SIGTERM, stop)
if os.fork() == 0:
    orphan = os.fork()
    if orphan == 0:
        os._exit(0)
    print(orphan, flush=True)
    os._exit(0)
time.sleep(60)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(queue: Queue, uri: str, tmp_path: Path) -> Iterator[Start]:
    """Give `start(handler, *options)`: `mongoq worker` in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(handler: str, *options: str) -> subprocess.Popen[str]:
        names = ["--uri", uri, "--namespace", queue.namespace]
        command = [sys.executable, "-m", "mongoq", *names, "worker", handler, *options]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=PATHS, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def noted(tmp_path: Path, until: Callable[..., None]) -> Callable[[str], list[str]]:
    """Wait for what the handler of this task has noted."""

    def wait(key: str) -> list[str]:
        file = tmp_path / key
        until(lambda: file.exists() and file.read_text().endswith("\n"), why="the handler runs")
        return file.read_text().split()

    return wait


def runs(pid: str) -> bool:
    """Whether this process runs, zombies left out."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("handler", ["sleeps_in_a_thread", "sleeps_in_a_pool"])
def test_a_worker_does_not_wait_for_the_threads_of_released_handlers(
    queue: Queue, start: Start, noted: Callable[[str], list[str]], tmp_path: Path, handler: str
) -> None:
    key = queue.new({"folder": str(tmp_path)}).key
    worker = start(f"process_handlers:{handler}", "--grace", "0.5")
    noted(key)
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert time.monotonic() - began < 30
    task = queue.get(key)
    assert (task.state, task.charged) == (TaskState.READY, 0)


@pytest.mark.parametrize("module", ["import time; time.sleep(60)", "try:\n  import time; time.sleep(60)\nexcept: pass"])
def test_sigterm_during_the_import_ends_the_worker(
    start: Start, tmp_path: Path, until: Callable[..., None], module: str
) -> None:
    (tmp_path / "slow.py").write_text(f"open('begun', 'w').close()\n{module}\ndef work(task): pass\n")
    worker = start("slow:work")
    until((tmp_path / "begun").exists, why="the import has begun")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


@pytest.mark.parametrize("how", ["deadline", "cancel", "exit", "killed worker", "stop"])
def test_the_processes_of_a_handler_end_with_its_attempt(
    queue: Queue, start: Start, noted: Callable[[str], list[str]], until: Callable[..., None], how: str
) -> None:
    deadline = 1 if how == "deadline" else None
    key = queue.new({"folder": ".", "how": how}, max_retries=0, deadline=deadline).key
    worker = start("process_handlers:starts_a_process", "--executor", "processes", "--grace", "0.2", "--lease", "3")
    _, pid = noted(key)
    if how == "cancel":
        queue.cancel(key)
    elif how == "killed worker":
        worker.kill()
    elif how == "stop":
        worker.terminate()
    until(lambda: not runs(pid), why="it ends")


def test_ctrl_c_to_the_whole_group_charges_nothing(
    queue: Queue, start: Start, noted: Callable[[str], list[str]], tmp_path: Path
) -> None:
    key = queue.new({"folder": str(tmp_path)}, max_retries=0).key
    worker = start("process_handlers:starts_a_process", "--executor", "processes", "--grace", "0.2")
    noted(key)
    os.killpg(worker.pid, signal.SIGINT)
    assert worker.wait(60) == 0
    task = queue.get(key)
    assert (task.state, task.charged) == (TaskState.READY, 0)


def test_as_process_1_orphans_are_reaped_and_signals_passed_on(until: Callable[..., None]) -> None:
    init = subprocess.Popen([sys.executable, "-c", INIT], env=PATHS, stdout=subprocess.PIPE, text=True)
    try:
        assert init.stdout is not None
        orphan = init.stdout.readline().strip()
        until(lambda: not Path(f"/proc/{orphan}").exists(), why="no zombie is left")
        init.terminate()
        assert init.wait(60) == 5
    finally:
        init.kill()
        init.communicate()


@pytest.mark.parametrize(
    "handler, executor",
    [("fails_at_length", "threads"), ("fails_at_length_on_a_loop", "asyncio"), ("fails_at_length", "processes")],
)
def test_a_pipe_for_logs_that_nobody_reads_stops_nothing(
    queue: Queue, start: Start, until: Callable[..., None], handler: str, executor: str
) -> None:
    queue.load(({} for _ in range(200)), max_retries=0)
    worker = start(f"process_handlers:{handler}", "--executor", executor, "--workers", "2", "--grace", "0.5")
    until(lambda: queue.count(state="failed") == 200, why="all have ended")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
