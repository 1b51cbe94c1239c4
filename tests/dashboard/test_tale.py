"""The operator's tale, with the dashboard alone: a bad release is found, held up, mended, and retried by kind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mongoq import NewTask, Queue
from mongoq.embedded.server import EmbeddedServer
from tests.acceptance.tale_functions import tasks
from tests.dashboard.conftest import Served

Deploy = Callable[[str], None]
PATIENCE = 240
KINDS = ("TimeoutError", "KeyError")


def tale(page: Any, served: Served, deploy: Deploy, until: Callable[..., None], count: int) -> None:
    queue = served.queue
    page.set_default_timeout(PATIENCE * 1000)
    deploy("bad")
    for name, tag in (("greet", "user"), ("charge", "order")):
        queue.new_many(NewTask({tag: n}, name=name, max_retries=0, keep_completed=3600) for n in range(count // 2))

    page.goto(served.url)
    page.get_by_role("link", name=re.compile("tasks? failed within the last hour")).click()

    def kinds() -> set[str]:
        page.goto(f"{served.url}/failures")
        return {one.partition(" ")[0] for one in page.locator(".fault h2").all_inner_texts()}

    until(lambda: kinds() == set(KINDS), timeout=PATIENCE, why="both kinds of failures are found")
    _group(page, "TimeoutError").get_by_role("link", name="Newest").click()
    page.get_by_text("the bank did not answer for order").first.wait_for()
    page.get_by_role("heading", name="charge").wait_for()

    page.get_by_role("link", name="Names").click()
    page.get_by_role("row", name="charge").get_by_role("button", name="Pause").click()
    page.get_by_text("Paused: nothing of it is claimed").wait_for()

    def running() -> bool:
        page.goto(f"{served.url}/tasks?state=running&name=charge")
        return bool(page.locator("table tbody tr").count())

    until(lambda: not running(), timeout=PATIENCE, why="what ran has ended")
    deploy("good")
    page.goto(f"{served.url}/names")
    page.get_by_role("row", name="charge").get_by_role("button", name="Resume").click()
    page.get_by_text("Resumed").wait_for()
    until(
        lambda: not queue.count(state="ready", name="charge"), timeout=PATIENCE, why="those that were held up are done"
    )

    for kind in KINDS:
        failed = queue.count(state="failed", error=kind)
        assert failed
        page.goto(f"{served.url}/failures")
        _group(page, kind).get_by_role("button", name=f"Retry all of {kind}…").click()
        page.get_by_text(f"{failed:,} tasks match").wait_for()
        page.get_by_role("button", name="Yes").click()
        page.get_by_text(f"{failed:,} tasks run again").wait_for()

    page.goto(served.url)
    page.get_by_text("All is well").wait_for()
    until(lambda: _figure(page, "Ready") == _figure(page, "Running") == "0", timeout=PATIENCE, why="it is drained")
    page.goto(f"{served.url}/failures")
    page.get_by_text("No task has failed").wait_for()
    assert queue.count(state="completed") == count


def _group(page: Any, kind: str) -> Any:
    return page.locator(".fault", has=page.get_by_role("heading", name=kind)).first


def _figure(page: Any, name: str) -> str:
    return str(page.locator(".tiles a", has_text=name).locator("b").inner_text())


def test_an_operator_mends_a_bad_release_with_the_dashboard_alone(
    page: Any, served: Served, server: EmbeddedServer, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            worker = stack.enter_context(Queue(server.uri, namespace=served.queue.namespace))
            worker.include(tasks)
            monkeypatch.setenv("TALE_RELEASE", "bad")
            worker.start(workers=4)
        tale(page, served, lambda release: monkeypatch.setenv("TALE_RELEASE", release), until, 100)


@pytest.fixture
def deploy(
    page: Any, served: Served, server: EmbeddedServer, until: Callable[..., None], tmp_path: Path
) -> Iterator[Deploy]:
    """Give `deploy(release)`: stop the workers of the release before in the dashboard, and start three of this one."""
    fleet: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, "-m", "mongoq", "worker", "tests.acceptance.tale_worker:queue", "--workers", "4"]
    place = str(Path(__file__).parents[2])

    def shown() -> int:
        page.goto(f"{served.url}/workers")
        return int(page.get_by_role("button", name="Stop…").count())

    def start(release: str) -> None:
        while fleet:
            until(lambda: shown() == len(fleet), why="those that have ended are gone")
            page.get_by_role("button", name="Stop…").first.click()
            page.get_by_role("button", name="Yes").click()
            page.get_by_role("status").wait_for()
            until(lambda: any(one.poll() is not None for one in fleet), why="a worker has ended")
            fleet[:] = [one for one in fleet if one.poll() is None]
        environment = {
            **os.environ, "TALE_RELEASE": release, "PYTHONPATH": place, "MONGOQ_URI": server.uri,
            "MONGOQ_NAMESPACE": served.queue.namespace,
        }  # fmt: skip
        with (tmp_path / "workers.log").open("ab") as log:
            fleet.extend(subprocess.Popen(command, env=environment, stdout=log, stderr=log) for _ in range(3))
        pids = {one.pid for one in fleet}
        until(lambda: pids <= {one.pid for one in served.queue.workers()}, why="the release is at work")

    yield start
    for process in fleet:
        process.terminate()
        process.wait(60)


@pytest.mark.long
def test_an_operator_mends_a_bad_release_of_three_processes_and_10_000_tasks_with_the_dashboard_alone(
    page: Any, served: Served, deploy: Deploy, until: Callable[..., None]
) -> None:
    tale(page, served, deploy, until, 10_000)
