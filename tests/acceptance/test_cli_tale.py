"""The operator's tale, with the command line alone: a bad release is found, held up, mended, and its tasks retried."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mongoq import NewTask, Queue
from mongoq.embedded.server import EmbeddedServer
from tests.acceptance.conftest import Cli
from tests.acceptance.tale_functions import tasks

Deploy = Callable[[str], None]
PATIENCE = 240


def tale(mongoq: Cli, queue: Queue, deploy: Deploy, until: Callable[..., None], count: int) -> None:
    deploy("bad")
    queue.load(NewTask({"user": n}, name="greet") for n in range(count // 2))
    queue.load(NewTask({"order": n}, name="charge", max_retries=0) for n in range(count // 2))

    def kinds() -> set[str]:
        return {group["error"] for group in mongoq("failures", "--since", "1h", "--json").json}

    until(lambda: kinds() == {"TimeoutError", "KeyError"}, timeout=PATIENCE, why="both kinds of failures are found")
    found = mongoq("failures", "--json").json
    assert {group["name"] for group in found} == {"charge"}
    example = next(group["example"] for group in found if group["error"] == "TimeoutError")
    assert "the bank did not answer for order" in mongoq("show", example).out

    assert mongoq("pause", "--name", "charge", "--reason", "bad release").code == 0
    assert "tasks named charge" in mongoq("pause").out
    until(
        lambda: not mongoq("ls", "--state", "running", "--name", "charge", "--json").json,
        timeout=PATIENCE, why="what ran has ended",
    )  # fmt: skip
    deploy("good")
    assert mongoq("resume", "--name", "charge").code == 0
    for error in ("TimeoutError", "KeyError"):
        failed = len(mongoq("ls", "--state", "failed", "--error", error, "--limit", "1000000", "--json").json)
        assert failed
        assert mongoq("rerun", "--name", "charge", "--error", error, "--yes", "--json").json == {"count": failed}

    def done() -> int:
        return int(mongoq("stats", "--json").json["queues"]["default"]["completed"])

    until(lambda: done() == count, timeout=PATIENCE, why="all tasks have completed")
    assert mongoq("drain", "--all", "--timeout", "4m", "--json").json == {"drained": True, "running": 0}
    assert mongoq("failures").out == "(no failed tasks)\n"


def test_an_operator_finds_holds_up_and_mends_a_bad_release(
    mongoq: Cli,
    queue: Queue,
    server: EmbeddedServer,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            worker = stack.enter_context(Queue(server.uri, namespace=queue.namespace))
            worker.include(tasks)
            monkeypatch.setenv("TALE_RELEASE", "bad")
            worker.start(workers=4)
        tale(mongoq, queue, lambda release: monkeypatch.setenv("TALE_RELEASE", release), until, 200)


@pytest.fixture
def deploy(mongoq: Cli, until: Callable[..., None], tmp_path: Path) -> Iterator[Deploy]:
    """Give `deploy(release)`: stop the workers of the release before by command, and start three of this one."""
    fleet: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, "-m", "mongoq", "worker", "tests.acceptance.tale_worker:queue", "--workers", "4"]
    place = str(Path(__file__).parents[2])

    def pids() -> set[int]:
        return {worker["pid"] for worker in mongoq("workers", "--json").json}

    def start(release: str) -> None:
        for worker in mongoq("workers", "--json").json:
            assert mongoq("stop-worker", f"{worker['host']}:{worker['pid']}").code == 0
        while fleet:
            assert fleet.pop().wait(60) == 0
        environment = {**os.environ, "TALE_RELEASE": release, "PYTHONPATH": place}
        with (tmp_path / "workers.log").open("ab") as log:
            fleet.extend(subprocess.Popen(command, env=environment, stdout=log, stderr=log) for _ in range(3))
        until(lambda: {one.pid for one in fleet} <= pids(), why="the release is at work")

    yield start
    for process in fleet:
        process.terminate()
        process.wait(60)


@pytest.mark.long
def test_an_operator_mends_a_bad_release_of_three_processes_and_10_000_tasks(
    mongoq: Cli, queue: Queue, deploy: Deploy, until: Callable[..., None]
) -> None:
    tale(mongoq, queue, deploy, until, 10_000)
