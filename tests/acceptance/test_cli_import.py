"""What `mongoq export` writes comes back by `mongoq import` as it was, or is refused before anything is written."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mongoq import NewTask, Queue, Task
from tests.acceptance.conftest import Cli, Said

Import = Callable[..., Said]


def typed(text: str) -> io.TextIOWrapper:
    """What comes by stdin."""
    return io.TextIOWrapper(io.BytesIO(text.encode()))


@pytest.fixture
def other(queue: Queue) -> Iterator[Queue]:
    """Give another namespace, into which tasks are imported."""
    with Queue(os.environ["MONGOQ_URI"], namespace=f"{queue.namespace}-b") as made:
        yield made


@pytest.fixture
def carried(mongoq: Cli, other: Queue, tmp_path: Path) -> Import:
    """Give `carried(*options)`: export all tasks, and import them into the other namespace."""

    def run(*options: str) -> Said:
        file = tmp_path / "tasks.jsonl"
        file.unlink(missing_ok=True)
        assert mongoq("export", "--output", str(file)).code == 0
        return mongoq("--namespace", other.namespace, "import", str(file), *options)

    return run


def test_what_is_exported_is_imported_once(mongoq: Cli, queue: Queue, tmp_path: Path) -> None:
    queue.new_many(NewTask({"n": n}, key=f"k{n}", name="welcome", queue="mail", priority=n) for n in range(3))
    queue.new({"n": 3}, key="later", delay=3600, payload={"a": [1]}, max_retries=7, unique="u")
    assert queue.cancel("k0").finished
    file = tmp_path / "tasks.jsonl"
    assert mongoq("export", "--output", str(file))[1:] == ("export: 4 tasks\n", "")
    assert mongoq("export", "--output", str(file)).code == 1
    later = queue.get("later")
    said = mongoq("--namespace", f"{queue.namespace}-b", "import", str(file), "--json")
    assert said.json == {"enqueued": 3, "skipped": 0, "ended": 1, "left_out": 0}
    with Queue(os.environ["MONGOQ_URI"], namespace=f"{queue.namespace}-b") as other:
        copy = other.get("later")
        for field in ("tags", "payload", "queue", "priority", "run_at", "unique", "policy", "state"):
            assert getattr(copy, field) == getattr(later, field), field
        assert {task.key: task.name for task in other.tasks(queue="mail")} == {"k1": "welcome", "k2": "welcome"}
    again = mongoq("--namespace", f"{queue.namespace}-b", "import", str(file), "--finished")
    assert again.out == "import: 1 enqueued, 3 there already, 0 had ended\n"


def test_export_prints_lines_and_import_reads_them(mongoq: Cli, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.new({"n": 1}, key="a")
    queue.new({"n": 2}, key="b", delay=60)
    said = mongoq("export", "--state", "ready")
    (line,) = said.out.splitlines()
    assert Task.from_dict(json.loads(line)).tags == {"n": 1}
    assert said.err == "mongoq: export: 1 task\n"
    assert mongoq("export", "--json").code == 2
    queue.delete("a")
    monkeypatch.setattr(sys, "stdin", typed(f"{line}\n\n"))
    assert mongoq("import").out == "import: 1 enqueued, 0 there already, 0 had ended\n"
    monkeypatch.setattr(sys, "stdin", typed(f'{line}\n{{"key": 1}}\n'))
    said = mongoq("import")
    assert (said.code, queue.count()) == (2, 2)
    assert "line 2: no task of an export" in said.err


def test_tasks_come_back_behind_their_parents(queue: Queue, other: Queue, carried: Import) -> None:
    queue.new_many(
        [
            NewTask(key="z-root"), NewTask(key="a-last", after=["b-both"], delay=3600),
            NewTask(key="b-both", after=["z-root", "y-root"], on_parent_failure="run"), NewTask(key="y-root"),
        ]
    )  # fmt: skip
    assert carried().out == "import: 4 enqueued, 0 there already, 0 had ended\n"
    for key in ("a-last", "b-both", "z-root"):
        ours, theirs = queue.get(key), other.get(key)
        for field in ("state", "parents", "on_parent_failure", "run_at", "children"):
            assert getattr(theirs, field) == getattr(ours, field), (key, field)
    assert other.cancel("z-root").finished
    assert other.cancel("y-root").finished
    assert (other.get("b-both").state, other.get("a-last").state) == ("ready", "parked")
    assert carried().out == "import: 0 enqueued, 4 there already, 0 had ended\n"


def test_limits_come_with_the_tasks_that_are_under_them(queue: Queue, other: Queue, carried: Import) -> None:
    queue.limit("tenant", concurrency=2, by="tenant")
    queue.limit("stripe", rate=10, per=60, burst=3)
    queue.limit("unused", concurrency=1)
    queue.new({"tenant": "acme"}, key="a", limits={"tenant": 1, "stripe": 5})
    assert carried().code == 0
    assert other.get("a").limits == {"tenant": 1, "stripe": 5}
    assert other.limits() == [limit for limit in queue.limits() if limit.name != "unused"]
    queue.new({"n": 1}, key="b", limits="unused")
    other.limit("unused", concurrency=1, order="fifo")
    said = carried()
    assert (said.code, other.count()) == (2, 1)
    assert "the limit unused is by no tag and of order fifo in this namespace" in " ".join(said.err.split())


def test_what_would_not_come_back_as_it_was_is_refused_before_anything_is_written(
    queue: Queue, other: Queue, carried: Import
) -> None:
    def refused(*options: str) -> str:
        said = carried(*options)
        assert (said.code, other.count()) == (2, 0)
        return " ".join(said.err.split())

    queue.new(key="parent", keep_completed=3600)
    queue.new(key="child", after=["parent"])
    parent = queue.claim(key="parent")
    assert parent
    queue.complete(parent, result=42)
    assert "the task 'child' runs after 'parent', which had ended" in refused()
    assert carried("--without-parents").out == "import: 1 enqueued, 0 there already, 1 had ended\n"
    assert other.get("child").parents == ()
    other.delete("child")

    queue.new(key="lost", max_retries=0)
    queue.new(key="waits", after=["lost"], on_parent_failure="wait")
    lost = queue.claim(key="lost")
    assert lost
    queue.fail(lost, ValueError("no"))
    assert "'waits' runs after 'lost', which has failed: --finished takes it along" in refused("--without-parents")
    assert carried("--finished").code == 0
    assert [other.get(key).state for key in ("lost", "waits", "child")] == ["ready", "parked", "parked"]
    for task in other.tasks(limit=None):
        other.delete(task.key)

    with queue.batch(then=NewTask(name="report")) as batch:
        batch.new(key="member")
    assert "a batch that has not called back, or a member of one, of which there are 2" in refused("--finished")
    assert carried("--finished", "--without-batches").out.endswith(", 2 of batches left out\n")
    assert {task.key for task in other.tasks(limit=None)} == {"parent", "child", "lost", "waits"}
