"""What an operator does: `update`, `drain`, `top`, and the completion of a shell."""

from __future__ import annotations

import pytest

from mongoq import NewTask, Queue
from mongoq.cli import main
from mongoq.cli.watching.reading import read, retry, rows, toggle
from mongoq.cli.watching.state import View
from tests.acceptance.conftest import Cli


def test_update_changes_a_waiting_task(mongoq: Cli, queue: Queue) -> None:
    before = queue.new({"card": "old", "note": 1}, key="a", delay=3600, payload=[1])
    said = mongoq("update", "a", "card=new", "note=null", "--priority", "9", "--delay", "0", "--expires-in", "1h")
    assert (said.code, said.err) == (0, "")
    task = queue.get("a")
    assert (task.tags, task.priority, task.state, task.payload) == ({"card": "new"}, 9, "ready", [1])
    assert task.expires_at
    changed = mongoq("update", "a", "--never-expires", "--payload", '{"b": 2}', "--json").json
    assert (changed["payload"], changed["expires_at"]) == ({"b": 2}, None)
    refused = mongoq("update", "a", "--priority", "1", "--if-version", str(before.version))
    assert (refused.code, queue.get("a").priority) == (1, 9)
    assert mongoq("update", "a").code == 2
    assert mongoq("update", "a", "--run-at", "5m").code == 2
    assert mongoq("update", "a", "--expires-in", "5m", "--never-expires").code == 2
    assert mongoq("update", "nobody", "x=1").code == 1


def test_drain_pauses_and_tells_what_still_runs_at_its_end(mongoq: Cli, queue: Queue) -> None:
    queue.new(queue="mail")
    assert queue.try_claim("mail")
    said = mongoq("drain", "mail", "--timeout", "0.1s")
    assert (said.code, said.out) == (1, "")
    assert "1 task still runs; the pause stays" in said.err
    assert [pause.queue for pause in queue.pauses()] == ["mail"]
    assert mongoq("drain").code == 2


def test_retry_is_another_word_for_rerun(mongoq: Cli, queue: Queue) -> None:
    queue.new(key="a")
    queue.cancel("a")
    assert mongoq("retry", "a").code == 0
    assert queue.get("a").state == "ready"
    assert " retry " not in mongoq("--help").out


def test_a_shell_completes_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def completed(*words: str) -> set[str]:
        monkeypatch.setenv("_MONGOQ_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["mongoq", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit):
            main([])
        return set(capfd.readouterr().out.split())

    assert completed("fail") == {"failures"}
    assert completed("ls", "--state", "sch") == {"scheduled"}
    assert completed("ls", "--running") == {"--running-for"}


def test_top_prints_once_as_json_and_needs_a_terminal_otherwise(mongoq: Cli, queue: Queue) -> None:
    queue.new(key="a")
    queue.claim(key="a")
    shown = mongoq("top", "--json").json
    assert [task["key"] for task in shown["tasks"]] == ["a"]
    assert shown["queues"]["default"]["running"] == 1
    said = mongoq("top")
    assert (said.code, "top needs a terminal" in said.err) == (2, True)


def test_top_pauses_and_retries_what_was_chosen(queue: Queue) -> None:
    queue.new_many(NewTask({"n": n}, name="charge", max_retries=0) for n in range(2))
    for task, error in zip(queue.claim_many(2), (KeyError("n"), ValueError("no")), strict=True):
        queue.fail(task, error)
    now = read(queue, View.FAILURES)
    row = next(one for one in rows(View.FAILURES, now) if one.error == "KeyError")
    assert toggle(queue, row, now) == "paused"
    assert [pause.name for pause in queue.pauses()] == ["charge"]
    assert toggle(queue, row, read(queue, View.FAILURES)) == "resumed"
    assert retry(queue, row) == "1 task set going again"
    assert queue.count(state="failed") == 1
