"""Every command, with and without --json, in this process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from mongoq import Attempt, NewTask, Queue, Task, TaskState
from mongoq.cli.stats import STATES
from mongoq.embedded.server import EmbeddedServer
from tests.acceptance.conftest import Cli, Said


def failing(task: object) -> None:
    raise ValueError("no \x1b[31mred\x1b[0m\r\nlines\x07 \x9b2J \u202eever")


def test_new_prints_the_key_and_parses_each_value_as_json_where_it_is_json(mongoq: Cli, queue: Queue) -> None:
    said = mongoq(
        "new", "n=42", "f=1.5", "yes=true", "nothing=null", "list=[1,2]", 'zip="01"', "text=a=b c", "nan=NaN",
        "--priority", "-7", "--queue", "mail", "--key", "k1", "--max-retries", "3", "--delay", "1h", "--unique", "u",
        "--expires-in", "2d", "--backoff", "5s", "--deadline", "90", "--keep-completed", "0",
    )  # fmt: skip
    assert said == Said(0, "k1\n", "")
    task = queue.get("k1")
    assert task.tags == {
        "n": 42, "f": 1.5, "yes": True, "nothing": None, "list": [1, 2], "zip": "01", "text": "a=b c", "nan": "NaN",
    }  # fmt: skip
    assert (task.priority, task.queue, task.unique, task.state) == (-7, "mail", "u", TaskState.SCHEDULED)
    # A delay counts from the most that the server's time can be.
    assert timedelta(0) <= task.run_at - task.created_at - timedelta(hours=1) < timedelta(seconds=1)
    assert task.expires_at is not None
    assert timedelta(days=2) - (task.expires_at - task.created_at) < timedelta(seconds=10)
    assert task.policy["max_retries"] == 3
    assert task.policy["deadline"] == timedelta(seconds=90)


def test_new_prints_the_task_as_json(mongoq: Cli, queue: Queue) -> None:
    shown = mongoq("new", "user=1", "--json").json
    task = queue.get(shown["key"])
    assert shown["tags"] == {"user": 1}
    assert datetime.fromisoformat(shown["created_at"]) == task.created_at
    assert "token" not in shown


def test_new_skips_a_key_that_is_taken_only_where_it_is_told_to(mongoq: Cli) -> None:
    assert mongoq("new", "--key", "twice").code == 0
    assert mongoq("new", "--key", "twice").code == 1
    assert mongoq("new", "--key", "twice", "--on-conflict", "skip") == Said(0, "twice\n", "")


def test_ls_lists_tasks_by_queue_state_and_tags(mongoq: Cli, queue: Queue) -> None:
    for number in range(3):
        queue.new({"n": number, "kind": "a"}, key=f"key-{number}", queue="q")
    queue.new({"n": 1}, key="other", delay=60)
    assert mongoq("ls", "--where", "n=1", "--where", "kind=a").out.splitlines()[1].split()[:3] == [
        "key-1", TaskState.READY, "q",
    ]  # fmt: skip
    assert [task["key"] for task in mongoq("ls", "--queue", "q", "--json").json] == ["key-0", "key-1", "key-2"]
    assert [task["key"] for task in mongoq("ls", "--state", "scheduled", "--json").json] == ["other"]
    limited = mongoq("ls", "--limit", "2")
    assert len(limited.out.splitlines()) == 3
    assert "--limit shows more" in limited.err
    assert mongoq("ls", "--where", "n=99") == Said(0, "(no such tasks)\n", "")


def test_a_table_in_a_pipe_is_complete_and_plain(mongoq: Cli, queue: Queue) -> None:
    long = "x" * 300
    queue.new({"text": long}, key="k" * 200)
    out = mongoq("ls").out
    assert f"text={long}" in out
    assert "k" * 200 in out
    assert "\x1b" not in out


def test_show_prints_how_far_a_handler_is_and_what_it_logged(mongoq: Cli, queue: Queue) -> None:
    task = queue.new()

    def render(attempt: Attempt, _: Task) -> None:
        attempt.progress(0.4, "rendering \x1b[31mred")
        attempt.log("page 1\x07")

    queue.run(render, burst=True)
    said = mongoq("show", task.key)
    assert "progress            40% rendering \\x1b[31mred (attempt 1 at " in said.out
    assert re.search(r"log of attempt 1\n  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  page 1\\x07\n", said.out)
    shown = mongoq("show", task.key, "--json").json["progress"]
    assert (shown["value"], shown["message"], shown["attempt"]) == (0.4, "rendering \x1b[31mred", 1)
    assert [line["text"] for line in shown["log"]] == ["page 1\x07"]


def test_show_prints_everything_with_the_last_traceback(mongoq: Cli, queue: Queue) -> None:
    task = queue.new({"user": 7}, payload=b"\x00\x01", max_retries=0)
    queue.run_once(failing)
    said = mongoq("show", task.key)
    assert said.code == 0
    for text in (task.key, "tags.user", "policy.max retries", "errors", "last error", "ValueError", "Traceback (most"):
        assert text in said.out
    shown = mongoq("show", task.key, "--json").json
    assert shown["payload"] == "AAE="
    assert shown["last_error"]["type"] == "ValueError"
    assert "in failing" in shown["last_error"]["traceback"]
    assert len(shown["errors"]) == 1


def test_show_prints_what_a_task_waits_for_and_how_far_a_batch_is(mongoq: Cli, queue: Queue) -> None:
    parent = queue.new()
    child = queue.new(after=[parent, "gone"], on_parent_failure="wait")
    assert f"child               {child.key} (parked)" in mongoq("show", parent.key).out
    said = mongoq("show", child.key).out
    assert f"parent              {parent.key} (ready)\nparent              gone (gone)" in said
    with queue.batch(then=NewTask()) as batch:
        batch.new_many([{}, {}])
        assert "members             2 waiting\nbatch is            open" in mongoq("show", batch.key).out
    queue.run(lambda task: None, burst=True)
    assert "members             2 completed\nbatch is            called back" in mongoq("show", batch.key).out


def test_control_characters_of_tasks_never_reach_the_terminal(mongoq: Cli, queue: Queue) -> None:
    evil = "a\x1b]0;title\x07b\rc\x9b2Jd\x00e\u202ef\u2028g\nh".replace("\x00", "")
    task = queue.new({"evil": evil}, key=f"key\x1b[2J{evil}", max_retries=0, payload=evil)
    queue.run_once(failing)
    for arguments in (["ls"], ["ls", "--json"], ["show", task.key], ["show", task.key, "--json"], ["show", evil]):
        said = mongoq(*arguments)
        for raw in ("\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2028"):
            assert raw not in said.out + said.err, arguments
    assert len(mongoq("ls").out.splitlines()) == 2
    assert "\\x1b[31mred" in mongoq("show", task.key).out


def test_stats_prints_a_row_per_queue_and_the_fleet(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    assert mongoq("stats").out.startswith(f"(no tasks in the namespace {queue.namespace})")
    queue.new({}, queue="waiting")
    queue.new({}, queue="waiting", delay=60)
    queue.new({}, queue="done")
    handle = queue.start(lambda task: None, queues=["done", "more"], workers=3)
    until(lambda: queue.stats()["done"].completed and queue.workers(), why="a task is completed and a heartbeat sent")
    header, waiting = (mongoq("stats").out.splitlines()[place].split() for place in (0, 2))
    assert header == ["QUEUE", *(state.upper() for state in STATES), "UNHANDLED", "OLDEST"]
    assert waiting[:8] == ["waiting", "1", "1", "0", "0", "0", "0", "0"]
    assert str(os.getpid()) in mongoq("stats").out
    shown = mongoq("stats", "--json").json
    assert shown["queues"]["waiting"]["oldest_ready"] > 0
    assert shown["queues"]["done"][TaskState.COMPLETED] == 1
    (worker,) = shown["workers"]
    assert (worker["pid"], worker["queues"], worker["workers"]) == (os.getpid(), ["done", "more"], 3)
    handle.stop()


def test_init_names_the_indexes_that_it_makes(mongoq: Cli, queue: Queue) -> None:
    made = mongoq("init", "--json").json["made"]
    assert f"{queue.namespace}.tasks.claim" in made
    assert mongoq("init", "--json").json == {"made": []}
    assert mongoq("init") == Said(0, "all indexes are there\n", "")


def test_time_prints_the_server_s_time_and_this_host_s_skew(mongoq: Cli, queue: Queue) -> None:
    shown = mongoq("time", "--json").json
    assert abs(datetime.fromisoformat(shown["time"]) - queue.time()) < timedelta(seconds=5)
    assert abs(shown["skew_ms"]) < 1_000
    assert "ms" in mongoq("time").out


def test_the_options_of_mongoq_itself_may_follow_the_command(
    mongoq: Cli, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONGOQ_URI")
    for arguments in (
        ["--uri", server.uri, "--namespace", "elsewhere", "new", "--key", "k", "--on-conflict", "skip"],
        ["ls", "--uri", server.uri, "--namespace=elsewhere"],
        ["show", "--namespace", "elsewhere", "k", f"--uri={server.uri}"],
    ):
        said = mongoq(*arguments)
        assert said.code == 0
        assert "k" in said.out
        assert not said.err


def test_version_is_printed(mongoq: Cli) -> None:
    assert mongoq("--version").out.startswith("mongoq 0.")


def test_rerun_runs_failed_tasks_again_and_redrive_sends_dead_letters_back(mongoq: Cli, queue: Queue) -> None:
    queue.new(key="a", max_retries=0)
    queue.new(key="b", max_retries=0)
    queue.run(failing, burst=True)
    assert mongoq("rerun", "a") == Said(0, "rerun: 1 task\n", "")
    said = mongoq("rerun", "a", "nobody", "b", "b")
    assert (said.code, said.out) == (1, "rerun: 1 task\n")
    assert "the task 'a' is ready" in said.err
    assert "no task has the key 'nobody'" in said.err
    queue.run(failing, burst=True)
    said = mongoq("rerun", "--queue", "default")
    assert (said.code, said.out) == (2, "")
    assert "rerun 2 tasks" in said.err
    assert mongoq("rerun", "--queue", "default", "--yes", "--json").json == {"count": 2}

    for _ in range(2):
        task = queue.try_claim()
        assert task is not None
        queue.move(task, "default/err")
    assert mongoq("redrive", "default/err", "b").out == "redrive: 1 task\n"
    assert "b is no task that was sent to default/err" in mongoq("redrive", "default/err", "b").err
    assert mongoq("redrive", "default/err").code == 2
    said = mongoq("redrive", "default/err", "--yes", "--rate", "0")
    assert (said.code, said.out) == (2, "")
    assert "rate: 0.0 is not a number of tasks a second, more than 0" in said.err
    assert mongoq("redrive", "default/err", "--yes", "--rate", "50").out == "redrive: 1 task\n"
    assert queue.queues() == {"default": 2}


def test_a_cancelled_or_expired_task_can_be_run_again(mongoq: Cli, queue: Queue) -> None:
    queue.new(key="cancelled")
    queue.new(key="kept", queue="other")
    queue.cancel("cancelled")
    queue.cancel("kept")
    assert mongoq("rerun", "cancelled").out == "rerun: 1 task\n"
    assert mongoq("rerun", "--queue", "other", "--state", "cancelled", "--yes").out == "rerun: 1 task\n"
    assert queue.queues() == {"default": 1, "other": 1}
    assert mongoq("rerun", "--queue", "other", "--state", "completed").code == 2


@pytest.mark.parametrize("arguments", [["rerun"], ["rerun", "k", "--queue", "a"], ["redrive"]])
def test_rerun_and_redrive_want_to_know_which(mongoq: Cli, arguments: list[str]) -> None:
    assert mongoq(*arguments).code == 2


def test_stats_of_an_empty_namespace_names_those_that_hold_tasks(mongoq: Cli) -> None:
    first = "A-first"  # ten are named, in this order, and other tests have theirs on this server
    assert mongoq("--namespace", first, "new", "--key", "only").code == 0
    said = mongoq("--namespace", "nobody-here", "stats")
    assert said.code == 0
    assert first in said.err
    assert mongoq("--namespace", first, "stats").err == ""
    assert mongoq("--namespace", first, "delete", "only").code == 0
