"""A worker of an earlier version beside one of this: they share a namespace, and no task is lost or doubled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from mongoq import IndexMissing, Queue, TaskState
from mongoq.embedded.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
BEFORE = "e91be1a"
"""A commit from before limits and kept figures."""
LATELY = "ab1b62f"
"""A commit with limits, kept figures and the audit."""
FIRST = "2878519"
"""The commit that began format 1."""
COUNT = 600
APPLICATION = """
import os
import time
from mongoq import Attempt, Queue

queue = Queue(lease=5, grace=1)


@queue.task(max_retries=3, backoff=0)
def count(attempt: Attempt, n: int) -> str:
    time.sleep(0.05)
    if n % 50 == 0 and attempt.task.attempts == 1:
        raise ConnectionError(f"the first attempt of {n}")
    return os.environ["VERSION"]


if __name__ == "__main__":
    queue.new_many(count.call(n) for n in range(COUNT))
"""

FIRST_APPLICATION = """
import sys
from mongoq import Queue

queue = Queue(lease=5, grace=1)
if sys.argv[1:]:
    queue.new_many({"n": n} for n in range(int(sys.argv[1])))
else:
    queue.run(lambda task: None, workers=2)
"""

pytestmark = pytest.mark.long


@pytest.fixture
def commit() -> str:
    """The commit of the earlier version."""
    return BEFORE


@pytest.fixture
def before(commit: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the earlier version."""
    return unpacked(commit, tmp_path_factory.mktemp("before"))


def unpacked(commit: str, folder: Path) -> Path:
    """Unpack the package of a commit into a folder; skipped where the history does not have it."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("there is no git")
    archive = subprocess.run([git, "archive", commit, "mongoq"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the history of this checkout does not go back to {commit}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


class Versions:
    """Processes of the application below, of either version."""

    def __init__(self, folders: dict[str, Path], server: EmbeddedServer, namespace: str) -> None:
        for folder in folders.values():
            (folder / "counting.py").write_text(APPLICATION.replace("COUNT", str(COUNT)))
        self._folders = folders
        self._environment = {**os.environ, "MONGOQ_URI": server.uri, "MONGOQ_NAMESPACE": namespace}

    def start(self, version: str, *arguments: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
        """Run `python ARGUMENTS` with the package of a version."""
        folder = self._folders[version]
        environment = {**self._environment, "VERSION": version, "PYTHONPATH": str(folder)}
        return subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stderr=stderr)

    @contextmanager
    def worker(self, version: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of a version; it ends in good order with the block."""
        process = self.start(version, "-m", "mongoq", "worker", "counting:queue", "--workers", "2")
        try:
            yield process
            process.terminate()
            assert process.wait(60) in {0, -signal.SIGKILL}
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue()


@pytest.fixture
def versions(before: Path, tmp_path: Path, server: EmbeddedServer, queue: Queue) -> Versions:
    (tmp_path / "mongoq").symlink_to(ROOT / "mongoq")
    return Versions({"before": before, "today": tmp_path}, server, queue.namespace)


@pytest.mark.parametrize("commit", [BEFORE, LATELY])
def test_a_worker_of_the_version_before_runs_beside_todays_without_loss(
    versions: Versions, queue: Queue, until: Callable[..., None]
) -> None:
    assert versions.start("before", "counting.py").wait(60) == 0
    queue.init()
    with versions.worker("today"), versions.worker("before"), versions.worker("before") as victim:
        until(lambda: len(queue.workers()) == 3, why="all workers have started")
        assert versions.start("today", "counting.py").wait(60) == 0
        until(lambda: _runs_on(queue, victim), why="the victim runs tasks")
        victim.kill()
        until(lambda: queue.size() == 0, timeout=180, why="all tasks end")

    ended = queue.tasks(limit=None)
    assert {task.state for task in ended} == {TaskState.COMPLETED}
    assert sorted(task.tags["n"] for task in ended) == sorted([*range(COUNT), *range(COUNT)])
    assert {task.result for task in ended} == {"before", "today"}
    assert {task.charged for task in ended if task.tags["n"] % 50 == 0} == {2}
    assert {task.charged for task in ended if task.tags["n"] % 50} == {1}


def test_a_worker_of_the_version_before_stops_where_limits_are_in_use(versions: Versions, queue: Queue) -> None:
    queue.new({"n": 1})
    queue.limit("one", concurrency=1)

    refused = versions.start("before", "-m", "mongoq", "worker", "counting:queue", stderr=subprocess.PIPE)
    try:
        _, told = refused.communicate(timeout=60)
    finally:
        refused.kill()
    assert refused.returncode == 1
    assert b"upgrade mongoq in this process" in told
    assert queue.count(state="ready") == 1


@pytest.mark.timeout(900)
def test_init_indexes_a_large_namespace_of_the_first_format_under_a_worker_of_it(
    queue: Queue, server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    folder, count = unpacked(FIRST, tmp_path), 100_001
    (folder / "first.py").write_text(FIRST_APPLICATION)
    environment = {**os.environ, "MONGOQ_URI": server.uri, "MONGOQ_NAMESPACE": queue.namespace, "PYTHONPATH": ""}
    command = [sys.executable, "first.py"]
    subprocess.run([*command, str(count)], cwd=folder, env=environment, check=True)
    assert queue.init() == [], "what it needs is there"
    old = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        until(lambda: queue.count(state="completed") > 0, why="the old worker runs tasks")
        with pytest.raises(IndexMissing, match="look_at"):
            queue.new({"n": count}, after=[queue.tasks(limit=1)[0].key])
        started = time.monotonic()
        made = queue.init()
        print(f"{len(made)} indexes of {count} tasks under a worker: {time.monotonic() - started:.1f} s")  # noqa: T201
        queue.new({"n": count}, after=[queue.tasks(limit=1)[0].key])
        assert old.poll() is None
        worker = queue.start(lambda task: None, workers=2)
        until(lambda: queue.count(state="running") > 0, why="workers hold tasks")
        old.kill()
        until(lambda: queue.size() == 0, timeout=240, why="all tasks end")
        worker.stop()
    finally:
        old.kill()
        old.wait()
    assert queue.count(state="completed") == count + 1
    assert sorted(task.tags["n"] for task in queue.tasks(limit=None)) == [*range(count + 1)]


def _runs_on(queue: Queue, process: subprocess.Popen[bytes]) -> bool:
    return any(f":{process.pid}:" in (task.worker or "") for task in queue.tasks(state="running", limit=None))
