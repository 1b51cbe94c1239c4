"""A diagnosis in both tempos, and where there is no server."""

from __future__ import annotations

import pytest

from mongoq.diagnosis import Level
from mongoq.testing import memory_queue
from proving.tempos import Face

pytestmark = pytest.mark.usefixtures("any_oplog")


def test_a_healthy_queue_has_no_findings_and_every_check_runs(queue: Face) -> None:
    queue.new(delay=3600)
    done = queue.diagnose()
    assert (done.findings, done.not_run, done.healthy) == ((), (), True)


def test_a_queue_without_a_worker_is_no_healthy_one(queue: Face) -> None:
    queue.new(queue="mail")
    done = queue.diagnose()
    assert [(one.check, one.level, one.about) for one in done.findings] == [("queue.unserved", Level.FAULT, "mail")]
    assert not done.healthy


def test_over_memory_the_checks_of_a_server_say_that_they_cannot_be_run() -> None:
    with memory_queue() as queue:
        queue.new(queue="mail")
        done = queue.diagnose()
    assert [one.check for one in done.findings] == ["queue.unserved"]
    assert {"server.standalone", "server.ttl-monitor", "query.scan"} <= {one.check for one in done.not_run}
