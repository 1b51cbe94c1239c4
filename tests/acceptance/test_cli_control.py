"""The commands that steer the fleet: schedules, pauses, and the end of single workers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from mongoq import NewTask, Queue
from mongoq.storage.operations import schema
from tests.acceptance.conftest import Cli, Said

WIDTH = 80


def narrow(text: str) -> bool:
    return all(len(line) <= WIDTH for line in text.splitlines())


def test_schedules_are_listed_paused_resumed_and_deleted(mongoq: Cli, queue: Queue) -> None:
    assert mongoq("schedules") == Said(0, "(no schedules)\n", "")
    queue.schedule("nightly", "0 3 * * *", NewTask({"n": 1}, queue="reports"), tz="Europe/Zurich")
    queue.schedule("poll", every=timedelta(minutes=10), task=NewTask())
    said = mongoq("schedules")
    assert said.code == 0
    assert narrow(said.out)
    heading, nightly, poll = said.out.splitlines()
    assert heading.split() == ["NAME", "WHEN", "QUEUE", "LAST", "NEXT", "SKIPPED", "NOTE"]
    assert "0 3 * * * Europe/Zurich" in nightly
    assert "every 10m" in poll

    said = mongoq("schedules", "pause", "nightly", "--reason", "deploy", "--json")
    assert [(one["name"], one["next_at"], one["reason"]) for one in said.json] == [("nightly", None, "deploy")]
    assert "paused" in mongoq("schedules").out
    assert mongoq("schedules", "resume", "nightly", "--json").json[0]["next_at"] is not None
    assert mongoq("schedules", "delete", "poll", "--json").json == {"count": 1}
    assert [one["name"] for one in mongoq("schedules", "--json").json] == ["nightly"]


def test_what_is_no_schedule_or_no_action_is_said(mongoq: Cli, queue: Queue) -> None:
    said = mongoq("schedules", "pause", "nobody")
    assert (said.code, "no schedule has the name 'nobody'" in said.err) == (1, True)
    assert mongoq("schedules", "stop", "nightly").code == 2
    assert mongoq("schedules", "delete").code == 2
    assert mongoq("schedules", "resume", "nightly", "--reason", "x").code == 2


def test_queues_are_paused_and_resumed(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    queue.new(queue="payments")
    assert mongoq("pause") == Said(0, "(no pauses)\n", "")
    said = mongoq("pause", "payments", "--reason", "the bank is down", "--for", "2h")
    assert said.code == 0
    assert "queue payments" in said.out
    assert "the bank is down" in said.out
    assert [(one["queue"], one["name"]) for one in mongoq("pause", "--name", "charge", "--json").json] == [
        ("payments", None),
        (None, "charge"),
    ]
    assert queue.try_claim("payments") is None
    assert "payments (paused)" in mongoq("stats").out
    assert mongoq("stats", "--json").json["queues"]["payments"]["paused"] is True
    assert mongoq("resume", "payments", "--name", "charge", "--json").json == {"count": 2}
    again = mongoq("resume", "payments")
    assert (again.code, "payments was not paused" in again.err) == (1, True)
    assert mongoq("resume").code == 2
    until(lambda: queue.try_claim("payments"), timeout=15, why="others learn of it within 2 s")


def test_values_of_tags_are_paused_and_resumed(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    queue.new({"tenant": "acme"}, key="acme")
    queue.new({"shop": 7}, key="seven")
    queue.new({"shop": "7"}, key="text")
    said = mongoq("pause", "--where", "tenant=acme", "--where", "shop=7", "--reason", "unpaid", "--json")
    assert [(one["tag"], one["value"], one["reason"]) for one in said.json] == [
        ("shop", 7, "unpaid"),
        ("tenant", "acme", "unpaid"),
    ]
    assert "tasks with tenant='acme'" in mongoq("pause").out
    assert [task.key for task in queue.claim_many(5)] == ["text"]
    assert mongoq("drain", "--where", "shop=7", "--json").json == {"drained": True, "running": 0}
    assert mongoq("resume", "--where", "tenant=acme", "--where", "shop=7", "--json").json == {"count": 2}
    until(lambda: queue.count(state="parked") == 0, why="what was parked is let go")
    again = mongoq("resume", "--where", "shop=7")
    assert (again.code, "shop=7 was not paused" in again.err) == (1, True)


def test_a_pause_in_a_large_namespace_builds_its_indexes_once_it_is_in_force(
    mongoq: Cli, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.new({"tenant": "acme"}, key="held")
    queue.new_many([{"tenant": "acme"} for _ in range(3)])
    monkeypatch.setattr(schema, "SMALL", 3)
    said = mongoq("pause", "--where", "tenant=acme")
    assert (said.code, "the pause is in force" in said.err) == (0, True)
    assert (queue.try_claim(), queue.count(state="parked")) == (None, 4)
    said = mongoq("pause", "--name", "charge")
    assert (said.code, said.err) == (0, ""), "they are there now"
    assert "Paused: tasks with tenant='acme'" in mongoq("show", "held").out
    assert mongoq("resume", "--where", "tenant=acme").code == 0
    assert queue.count(state="ready") == 4


def test_what_is_no_value_of_a_tag_is_refused_and_nothing_is_paused(mongoq: Cli, queue: Queue) -> None:
    for pair in ("tenant", "=acme", "size=1.5", "tags=[1]", "gone=null"):
        said = mongoq("pause", "payments", "--where", pair)
        assert (said.code, "TAG=VALUE" in said.err or "KEY=VALUE" in said.err) == (2, True), pair
    assert queue.pauses() == []


def test_a_worker_is_stopped_from_afar(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    assert mongoq("stop-worker", "nobody:1").code == 1
    handle = queue.start(lambda task: None)
    until(queue.workers, why="its heartbeat is there")
    said = mongoq("stop-worker", handle.id.rpartition(":")[0], "--json")
    assert (said.code, said.json) == (0, [handle.id])
    until(lambda: handle.stopped, why="it has stopped")


def test_limits_are_set_listed_shown_and_deleted(mongoq: Cli, queue: Queue) -> None:
    assert mongoq("limits") == Said(0, "(no limits)\n", "")
    assert mongoq("limits", "set", "tenant", "--concurrency", "2", "--by", "tenant").code == 0
    said = mongoq("limits", "set", "stripe", "--rate", "90", "--per", "1m", "--burst", "5", "--json")
    assert [(one["name"], one["rate"], one["per"], one["burst"]) for one in said.json] == [
        ("stripe", 90, 60, 5), ("tenant", None, 1, 1),
    ]  # fmt: skip
    queue.new_many(({"tenant": "acme"} for _ in range(5)), limits="tenant")
    queue.claim_many(5)
    said = mongoq("limits")
    assert narrow(said.out)
    heading, stripe, tenant = said.out.splitlines()
    assert heading.split() == ["NAME", "BY", "AT", "ONCE", "RATE", "RUNNING", "FULLEST", "WAITING"]
    assert "90/1m, burst 5" in stripe
    assert tenant.split() == ["tenant", "tenant", "2", "-", "2", "2", "3"]
    [group] = mongoq("limits", "show", "tenant", "--json").json
    assert (group["value"], group["running"], group["waiting"]) == ("acme", 2, 3)
    assert "acme" in mongoq("limits", "show", "tenant").out
    said = mongoq("limits", "delete", "tenant", "nobody", "--json")
    assert (said.code, said.json, "nobody" in said.err) == (1, {"count": 1}, True)
    assert mongoq("limits", "set", "tenant", "other", "--rate", "1").code == 2
    assert mongoq("limits", "set", "tenant").code == 2


def test_each_act_is_in_the_audit_with_who_did_it(mongoq: Cli, queue: Queue) -> None:
    key = queue.new(queue="mail").key
    for arguments in (
        ["pause", "mail"],
        ["update", key, "--priority", "9"],
        ["resume", "mail"],
        ["limits", "set", "api", "--rate", "5"],
        ["cancel", key],
        ["rerun", "--queue", "mail", "--state", "cancelled", "--yes"],
        ["purge", "--yes", "--name", "x"],
        ["update", "nobody", "--priority", "9"],
        ["move", key, "--to", "post"],
        ["move", "--queue", "post", "--to", "mail", "--yes"],
    ):
        mongoq(*arguments)
    found = queue.audits()[::-1]
    assert [(one.act, one.count) for one in found] == [
        ("pause", 0), ("edit", 1), ("resume", 0), ("edit_limit", 0), ("cancel", 1), ("retry_all", 1), ("edit", 0),
        ("move", 1), ("move_all", 1),
    ]  # fmt: skip
    assert {"@" in one.by for one in found} == {True}
    assert found[5].about == {"queue": "mail", "state": "cancelled"}
    assert "nobody" in (found[6].error or "")
    assert [found[7].about["to"], found[8].about] == ["post", {"queue": "post", "to": "mail"}]
    assert all(one.ended_at for one in found)
