"""The commands that change tasks, and those that count, in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mongoq import NewTask, Queue, StorageUnavailable, TaskState, WorkerInfo
from mongoq.cli import stats
from mongoq.cli.entry import hoisted
from mongoq.cli.output import Sheet
from mongoq.cli.printing.fitting import fitted
from mongoq.embedded.server import EmbeddedServer
from tests.acceptance.conftest import Cli, Said


class Terminal(io.StringIO):
    """A person who types."""

    def isatty(self) -> bool:
        return True


def test_cancel_takes_keys(mongoq: Cli, queue: Queue) -> None:
    for key in ("a", "b", "c"):
        queue.new(key=key)
    queue.complete(queue.claim_many(1))
    assert mongoq("cancel", "b", "c") == Said(0, "cancel: 2 tasks\n", "")
    said = mongoq("cancel", "a", "--json")
    assert (said.code, said.json) == (1, {"count": 0})
    assert "completed" in said.err
    assert mongoq("cancel", "nobody").code == 1
    assert queue.count(state="cancelled") == 2


def test_many_are_changed_only_after_a_yes(mongoq: Cli, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.new_many([{"tenant": "acme"}] * 3)
    queue.new({"tenant": "other"})
    command = ("cancel", "--where", "tenant=acme")
    said = mongoq(*command)
    assert said.code == 2
    assert "cancel 3 tasks" in said.err
    assert "--yes" in said.err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert mongoq(*command).code == 1
    assert queue.count(state="cancelled") == 0
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    said = mongoq(*command, "--json")
    assert (said.code, said.json) == (0, {"count": 3})
    assert mongoq(*command) == Said(0, "cancel: 0 tasks\n", "")
    assert queue.count(state="ready") == 1


def test_tasks_are_chosen_by_the_name_of_their_function(mongoq: Cli, queue: Queue) -> None:
    assert mongoq("new", "user=1", "--name", "welcome", "--key", "a") == Said(0, "a\n", "")
    queue.new_many(NewTask({"n": number}, name="welcome@2") for number in range(2))
    queue.new({"n": 3}, name="charge", key="other")
    listed = mongoq("ls", "--name", "welcome")
    assert len(listed.out.splitlines()) == 4
    assert listed.out.splitlines()[1].split()[:4] == ["a", "ready", "default", "welcome"]
    assert [task["key"] for task in mongoq("ls", "--name", "charge", "--json").json] == ["other"]
    assert mongoq("move", "--name", "welcome@2", "--to", "bulk", "--yes", "--json").json == {"count": 2}
    assert mongoq("cancel", "--name", "welcome", "--yes", "--json").json == {"count": 3}
    assert mongoq("rerun", "--name", "welcome@2", "--state", "cancelled", "--yes", "--json").json == {"count": 2}
    assert mongoq("purge", "--name", "welcome", "--yes", "--json").json == {"count": 1}
    assert mongoq("delete", "--name", "welcome", "--yes", "--json").json == {"count": 2}
    assert queue.get("other").state == "ready"


def test_delete_leaves_what_runs_alone(mongoq: Cli, queue: Queue) -> None:
    queue.new_many([{}] * 3)
    (held,) = queue.claim_many(1)
    assert mongoq("delete", "--queue", "default", "--yes", "--json").json == {"count": 2}
    said = mongoq("delete", held.key)
    assert said.code == 1
    assert "running" in said.err
    queue.complete(held)
    assert mongoq("delete", held.key) == Said(0, "delete: 1 task\n", "")


def test_move_puts_waiting_tasks_elsewhere(mongoq: Cli, queue: Queue) -> None:
    queue.new(key="a", queue="mail")
    queue.new({"n": 1}, queue="mail", delay=60)
    assert mongoq("move", "a", "--to", "bulk").code == 0
    assert queue.get("a").queue == "bulk"
    moved = mongoq("move", "--queue", "mail", "--where", "n=1", "--state", "scheduled", "--to", "bulk", "--yes")
    assert moved == Said(0, "move: 1 task\n", "")
    assert mongoq("queues", "--json").json == {"bulk": 2}


def test_purge_deletes_finished_tasks(mongoq: Cli, queue: Queue) -> None:
    queue.new_many([{}] * 3)
    queue.complete(queue.claim_many(1))
    queue.fail(queue.claim_many(1), "no")
    assert mongoq("purge", "--older-than", "1h", "--yes", "--json").json == {"count": 0}
    assert mongoq("purge", "--state", "failed", "--yes", "--json").json == {"count": 1}
    assert mongoq("purge", "--yes", "--json").json == {"count": 1}
    assert queue.count() == 1


@pytest.mark.parametrize("command", [["cancel"], ["delete"], ["move", "--to", "q"]], ids=" ".join)
def test_a_key_that_is_not_there_keeps_no_other_from_its_turn(mongoq: Cli, queue: Queue, command: list[str]) -> None:
    for key in ("a", "b"):
        queue.new(key=key)
    said = mongoq(*command, "a", "nope", "b", "a")
    assert (said.code, said.out) == (1, f"{command[0]}: 2 tasks\n")
    assert said.err == "mongoq: no task has the key 'nope'\n"
    assert queue.size("default") == 0


@pytest.mark.parametrize("command", [["cancel"], ["delete"], ["move", "--to", "q"]], ids=" ".join)
def test_keys_or_a_choice_and_not_both_are_wanted(mongoq: Cli, queue: Queue, command: list[str]) -> None:
    queue.new(key="k")
    assert mongoq(*command).code == 2
    assert mongoq(*command, "k", "--queue", "default").code == 2
    assert queue.get("k").state is TaskState.READY


def test_queues_and_workers_are_listed(mongoq: Cli, queue: Queue, until: Callable[..., None]) -> None:
    assert mongoq("queues").out == "(no queues)\n"
    assert mongoq("workers").out == "(no workers)\n"
    for name in ("mail/a", "mail/b", "other"):
        queue.new(queue=name)
    assert mongoq("queues", "--prefix", "mail/", "--limit", "1").out.split() == ["QUEUE", "UNFINISHED", "mail/a", "1"]
    handle = queue.start(lambda task: None, queues="none")
    until(queue.workers, why="a heartbeat is sent")
    assert "none" in mongoq("workers").out
    assert [one["queues"] for one in mongoq("workers", "--json").json] == [["none"]]
    handle.stop()


def test_stats_show_the_highest_count_of_attempts_where_it_is_asked_for(mongoq: Cli, queue: Queue) -> None:
    queue.new()
    for _ in range(3):
        queue.release(queue.claim_many(1))
    first, row = [line.split() for line in mongoq("stats", "--attempts").out.splitlines()[:2]]
    assert (first[-1], row[-1]) == ("ATTEMPTS", "3")
    assert mongoq("stats", "--attempts", "--json").json["queues"]["default"]["most_attempts"] == 3
    assert "ATTEMPTS" not in mongoq("stats").out


def test_a_worker_that_has_gone_silent_is_marked() -> None:
    seen = datetime(2026, 8, 1, tzinfo=UTC)
    worker = WorkerInfo("host:7:ab", "host", 7, ("default",), 2, 0, (), seen, seen)
    assert stats._heard(worker, seen + timedelta(seconds=9)) == "9.0s ago"
    assert stats._heard(worker, seen + timedelta(seconds=40)) == "40.0s ago, silent"


def test_a_worker_takes_tags(mongoq: Cli, queue: Queue) -> None:
    queue.new({"tenant": "acme"})
    queue.new({"tenant": "other"})
    said = mongoq("worker", "builtins:repr", "--where", "tenant=acme", "--burst", "--json")
    assert (said.code, said.json["endings"]) == (0, {"complete": 1})
    assert queue.count(where={"tenant": "other"}, state="ready") == 1


def test_json_may_precede_the_command(mongoq: Cli) -> None:
    assert mongoq("--json", "stats").json == {"queues": {}, "workers": []}
    assert hoisted(["--namespace", "n", "--json", "ls", "--limit", "3"]) == [
        "--namespace", "n", "ls", "--json", "--limit", "3",
    ]  # fmt: skip
    assert mongoq("--json").code == 2


@pytest.mark.parametrize("command", ["stats", "ls", "queues", "workers", "time", "purge"])
def test_a_command_that_looks_makes_no_folder(mongoq: Cli, tmp_path: Path, command: str) -> None:
    said = mongoq("--uri", f"embedded:{tmp_path}/typo", command)
    assert said.code == 2
    assert "typo" in said.err
    assert not (tmp_path / "typo").exists()


def test_a_command_that_looks_joins_an_embedded_server_that_is_there(mongoq: Cli, server: EmbeddedServer) -> None:
    assert mongoq("--uri", f"embedded:{server.folder}", "queues") == Said(0, "(no queues)\n", "")


def test_a_watch_outlives_a_server_that_does_not_answer(capfd: pytest.CaptureFixture[str]) -> None:
    replies = iter([StorageUnavailable("no answer"), StorageUnavailable("no answer"), None, KeyboardInterrupt()])

    def show() -> None:
        reply = next(replies)
        if reply is not None:
            raise reply

    with pytest.raises(KeyboardInterrupt):
        stats._again(show, 0.001)
    assert capfd.readouterr().err == "mongoq: no answer; waiting for it\n"


def test_a_narrow_terminal_leaves_columns_of_zeros_out() -> None:
    sheet = Sheet("t", ("queue", "ready", "failed", "oldest"), [("a", 1, 0, "5s"), ("b", 0, 0, "-")], "", sparse=True)

    def drawn(width: int) -> str:
        return fitted(sheet, width)[0].lower()

    assert "failed" in drawn(60)
    assert "failed" not in drawn(20)
    assert "ready" in drawn(20)
