from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "checksums.py"

Demo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def demo(server: EmbeddedServer, tmp_path: Path) -> Demo:
    """Give `demo(*arguments)`: the example as a process of its own, on the server of this run."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        **os.environ,
        "MONGOQ_URI": server.uri,
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, str(DEMO), *map(str, arguments)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    return start


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Give a folder of 300 files of different content; holes make them big without filling the disk."""
    folder = tmp_path / "files"
    for number in range(300):
        file = folder / f"{number % 7}" / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"file %d" % number)
        os.truncate(file, 300_000 + 1_000 * number)
    return folder


def figures_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, out + errors
    figures: dict[str, Any] = json.loads(out)
    return figures


def test_the_demo_loses_nothing_when_a_worker_is_killed(demo: Demo, files: Path) -> None:
    figures = figures_of(demo(files, "--json"))
    assert (figures["tasks"], figures["completed"]) == (300, 300)
    assert (figures["lost"], figures["wrong_checksums"], figures["unreadable"]) == (0, 0, 0)
    assert figures["worker_killed"]
    assert 0 <= figures["run_twice"] <= figures["tasks_it_held"]
    assert figures["tasks_it_held"] > 0
    assert not list((files.parent / "temporary").iterdir())


def test_the_demo_runs_nothing_twice_when_nobody_is_killed(demo: Demo, files: Path) -> None:
    figures = figures_of(demo(files, "--json", "--no-kill", "--workers", "2"))
    assert (figures["completed"], figures["run_twice"], figures["worker_killed"]) == (300, 0, False)


@pytest.mark.skipif(sys.platform != "linux", reason="a file that nobody can read is taken from /proc")
def test_the_demo_counts_a_file_that_cannot_be_read(demo: Demo, files: Path) -> None:
    (files / "unreadable").symlink_to("/proc/self/mem")
    figures = figures_of(demo(files, "--json", "--no-kill"))
    assert (figures["tasks"], figures["completed"], figures["unreadable"], figures["lost"]) == (301, 300, 1, 0)


def test_the_demo_prints_lines_and_a_table_without_a_terminal(demo: Demo, files: Path) -> None:
    out, _ = demo(files, "--no-kill").communicate(timeout=60)
    assert "300 files under" in out
    assert "300 completed" in out
    assert "wrong checksums" in out
    assert "\x1b" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="the workers are looked up in /proc")
def test_the_demo_stops_its_workers_at_ctrl_c(demo: Demo, files: Path, until: Callable[..., None]) -> None:
    process = demo(files)
    assert process.stdout is not None
    process.stdout.readline()  # the files are enqueued, the workers start next
    until(lambda: children_of(process.pid))
    workers = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list((files.parent / "temporary").iterdir())


@pytest.mark.parametrize("arguments", [["/no/such/folder"], ["--workers", "1"]])
def test_the_demo_refuses_what_cannot_work(demo: Demo, arguments: list[str]) -> None:
    process = demo(*arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error:" in errors


def test_a_file_that_has_vanished_fails_its_task_at_once(server: EmbeddedServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    example = example_module()
    with Queue(server.uri, namespace=f"vanished-{time.time_ns()}") as queue:
        (task,) = queue.new_many(example.tasks_for(tmp_path))
        file.unlink()
        queue.run_once(example.checksum)
        failed = queue.get(task.key)
    assert failed.state == "failed"
    assert failed.attempts == 1
    assert failed.last_error is not None
    assert failed.last_error.message.startswith("cannot be read")


def test_bigger_files_are_more_urgent_and_caches_left_out(tmp_path: Path) -> None:
    for name, size in {"small": 1, "big": 1000, "__pycache__/cache": 10}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    tasks = {Path(task.tags["path"]).name: task.priority for task in example_module().tasks_for(tmp_path)}
    assert tasks == {"small": 1, "big": 1000}


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def example_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("checksums", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["checksums"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module
