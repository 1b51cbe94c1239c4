"""What an operator looks at: `ls`, `show`, `why` and `failures`."""

from __future__ import annotations

import pytest

from mongoq import NewTask, Queue, Task
from tests.acceptance.conftest import Cli


@pytest.fixture
def broken(queue: Queue) -> Queue:
    """Give a queue with two kinds of failed tasks, oldest first: TimeoutError thrice, KeyError once."""

    def handler(task: Task) -> None:
        raise KeyError("card") if task.tags["n"] == 3 else TimeoutError(f"no answer from 10.0.0.{task.tags['n']}")

    queue.new_many(NewTask({"n": n}, name="charge", max_retries=0) for n in range(4))
    queue.run(handler, workers=1, burst=True)
    return queue


def test_ls_lists_failed_tasks_the_newest_first_with_the_message(broken: Queue, mongoq: Cli) -> None:
    assert "KeyError: 'card'" in mongoq("ls", "--state", "failed").out
    ended = [task["finished_at"] for task in mongoq("ls", "--state", "failed", "--json").json]
    assert len(ended) == 4
    assert ended == sorted(ended, reverse=True)
    listed = mongoq("ls", "--state", "failed", "--name", "charge", "--error", "TimeoutError", "--json").json
    assert {task["tags"]["n"] for task in listed} == {0, 1, 2}
    ended = [task["finished_at"] for task in listed]
    assert ended == sorted(ended, reverse=True)


def test_ls_sorts_by_what_it_is_told(broken: Queue, mongoq: Cli) -> None:
    for priority in (1, 9, 5):
        broken.new({"p": priority}, priority=priority)
    listed = mongoq("ls", "--sort", "priority", "--limit", "2", "--json").json
    assert [task["priority"] for task in listed] == [9, 5]
    ended = [task["finished_at"] for task in mongoq("ls", "--sort", "oldest", "--state", "failed", "--json").json]
    assert ended == sorted(ended)
    said = mongoq("ls", "--sort", "colour")
    assert (said.code, "'colour' is none of newest" in said.err) == (2, True)


def test_ls_chooses_by_time(broken: Queue, mongoq: Cli) -> None:
    assert len(mongoq("ls", "--state", "failed", "--since", "1h", "--json").json) == 4
    assert mongoq("ls", "--state", "failed", "--until", "1h", "--json").json == []
    assert mongoq("ls", "--since", "2999-01-01", "--json").json == []
    said = mongoq("ls", "--since", "yesterday")
    assert (said.code, "'yesterday' is no time: give 2026-08-01T12:30, or 15m" in said.err) == (2, True)


def test_ls_shows_what_runs_longest_first_and_who_was_asked_to_stop(queue: Queue, mongoq: Cli) -> None:
    for key in ("a", "b"):
        queue.new(key=key)
        queue.claim(key=key)
    queue.new(key="ready", payload={"is": "there"})
    queue.cancel("b")
    lines = mongoq("ls", "--running-for", "0").out.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["a", "running"], ["b", "cancelling"]]
    assert mongoq("ls", "--running-for", "1h").out == "(no such tasks)\n"
    assert mongoq("ls", "--running-for", "1h", "--state", "failed").code == 2
    assert mongoq("ls", "--state", "ready", "--json").json[0]["payload"] == {"is": "there"}


def test_failures_are_grouped_with_an_example_to_look_at(broken: Queue, mongoq: Cli) -> None:
    first, second = mongoq("failures", "--json").json
    assert (first["count"], first["name"], first["error"]) == (3, "charge", "TimeoutError")
    example = broken.get(first["example"])
    assert first["message"] == f"no answer from 10.0.0.{example.tags['n']}"
    assert example.finished_at
    assert first["first"] <= first["last"] == example.finished_at.isoformat()
    assert (second["count"], second["error"]) == (1, "KeyError")
    assert [line.split()[:3] for line in mongoq("failures").out.splitlines()] == [
        ["COUNT", "NAME", "ERROR"], ["3", "charge", "TimeoutError"], ["1", "charge", "KeyError"],
    ]  # fmt: skip
    limited = mongoq("failures", "--error", "TimeoutError", "--since", "1h", "--limit", "2")
    assert "these are 2 failed tasks" in limited.err
    assert mongoq("failures", "--queue", "other").out == "(no failed tasks)\n"


def test_failed_tasks_are_run_again_by_their_error(broken: Queue, mongoq: Cli) -> None:
    assert mongoq("rerun", "--error", "KeyError", "--since", "1h", "--yes", "--json").json == {"count": 1}
    assert mongoq("rerun", "--error", "TimeoutError", "--where", "n=1", "--yes", "--json").json == {"count": 1}
    assert mongoq("rerun", "--error", "TimeoutError", "--until", "1h", "--yes", "--json").json == {"count": 0}
    assert sorted(task.tags["n"] for task in broken.tasks(state="ready")) == [1, 3]
    assert mongoq("rerun", "--yes").code == 2


def test_why_says_what_a_task_waits_for(queue: Queue, mongoq: Cli) -> None:
    parent = queue.new(key="parent")
    queue.new(key="child", after=[parent])
    assert mongoq("why", "parent").out == "No worker serves the queue 'default'.\n"
    queue.pause("default", reason="deploy", by="ann")
    assert mongoq("why", "parent", "--json").json == {
        "key": "parent", "state": "ready", "why": "Paused: queue default is paused by ann (deploy).",
    }  # fmt: skip
    assert "parent              parent (ready)" in mongoq("why", "child").out
    assert mongoq("why", "nobody").code == 1
    queue.limit("tenant", concurrency=1, by="tenant")
    queue.new_many([NewTask({"tenant": "acme"}, key=key, queue="limited", limits=["tenant"]) for key in ("a", "b")])
    assert queue.claim_many(2, queues="limited")  # and no room for the other
    said = mongoq("why", "b").out
    assert said.startswith("It is parked: the limit tenant has no room for 'acme'.")
    assert "limit tenant        1 run, 1 wait" in said


def test_show_begins_with_what_matters(broken: Queue, mongoq: Cli) -> None:
    key = broken.page(state="failed", error="KeyError").tasks[0].key
    lines = mongoq("show", key).out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["key", "state", "error"]
    assert lines[1].startswith("state               failed (exhausted), ")
    assert lines[2] == "error               KeyError: 'card'"
    whole = mongoq("show", key, "--frames").out
    assert "frames of mongoq" not in whole
    assert len(whole.splitlines()) > len(lines)


def test_batches_that_have_not_called_back_are_listed(mongoq: Cli, queue: Queue) -> None:
    assert mongoq("batches").out == "(no batch waits for its members)\n"
    with queue.batch(then=NewTask(name="report"), key="nightly") as batch:
        batch.new_many([{}, {}])
    assert queue.try_claim()
    heading, line = mongoq("batches").out.splitlines()
    assert heading.split()[:5] == ["KEY", "AGE", "OPEN", "WAITING", "RUNNING"]
    assert line.split()[2:5] == ["-", "1", "1"]
    [told] = mongoq("batches", "--json").json
    assert (told["key"], told["waiting"], told["running"], told["called_at"]) == ("nightly", 1, 1, None)
    assert "the callback of a batch, which waits for its members" in mongoq("why", "nightly").out
