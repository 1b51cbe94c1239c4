"""What `mongoq doctor` finds."""

from __future__ import annotations

from collections.abc import Callable

from mongoq import Queue
from tests.acceptance.conftest import Cli, Said


def test_a_healthy_namespace_has_no_findings(mongoq: Cli, queue: Queue) -> None:
    queue.new(delay=3600)
    assert mongoq("doctor") == Said(0, "(nothing was found)\n", "")
    assert mongoq("doctor", "--json").json == []


def test_names_that_no_worker_knows_are_named(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    @queue.task(queue="mail")
    def welcome(user: int) -> None: ...

    worker = queue.start()
    try:
        until(queue.workers, timeout=30, why="the worker has sent its first heartbeat")
        queue.new({"user": 1}, name="welcom", queue="mail")
        said = mongoq("doctor", "--json")
    finally:
        worker.stop()
    [found] = said.json
    assert said.code == 1
    assert found["about"] == "mail"
    assert found["problem"] == "1 ready tasks that no worker takes: welcom"
    assert "aliases=" in found["advice"]


def test_queues_without_a_worker_or_with_a_pause_are_told(mongoq: Cli, queue: Queue) -> None:
    queue.new(queue="payments")
    queue.pause("payments")
    assert mongoq("doctor").code == 0, "a pause is wanted"
    queue.new(queue="bulk")
    said = mongoq("doctor")
    assert said.code == 1
    assert "1 ready tasks, and no worker of this queue" in said.out
    assert "1 ready tasks wait: it is paused" in said.out
