"""The README and the pages cannot drift: promises, options and blocks are checked against the code, and blocks run."""

from __future__ import annotations

import inspect
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient

from docsite.generated import options, options_of_new, options_of_run
from docsite.interface import verbs
from mongoq import NewTask, Queue, TaskState
from mongoq.core.judging.policy import DEFAULTS
from mongoq.embedded.server import EmbeddedServer
from tests.docs.pages import PAGES, ROOT

README = "\n".join(page.read_text() for page in PAGES)
"""The text of all pages, the README first: a block or table may stand on any of them."""


def block(language: str, containing: str) -> str:
    """The code block of this language that contains a text."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(found for found in blocks if containing in found)


@pytest.mark.parametrize(
    "rows, function",
    [(options, Queue.__init__), (options_of_new, Queue.new), (options_of_run, Queue.run)],
    ids=["Queue", "new", "run"],
)
def test_a_table_names_every_option(rows: Callable[[], str], function: Callable[..., Any]) -> None:
    named = {name for row in rows().splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(inspect.signature(function).parameters) - {"self", "target", "tags", "handler"}


def test_the_defaults_are_those_of_the_code() -> None:
    told = {row.split("|")[1].strip(" `"): row.split("|")[2] for row in options().splitlines()}
    seconds = {"lease": "30 s", "keep_completed": "1 hour", "keep_failed": "30 days", "deadline": "none"}
    units = {"s": 1, "hour": 3600, "days": 86400}
    for name, text in seconds.items():
        assert f"Default: {text}" in told[name]
        value = getattr(DEFAULTS, name)
        if text != "none":
            number, unit = text.split()
            assert value.total_seconds() == float(number) * units[unit]
        else:
            assert value is None


def test_the_readme_is_short_and_makes_five_promises_that_the_page_of_guarantees_has_too() -> None:
    front = (ROOT / "README.md").read_text()
    guarantees = (ROOT / "docs" / "concepts" / "guarantees.md").read_text()
    promised = re.findall(r"\| `-k (test_\w+)` \|", front)
    assert len(promised) == 5
    assert [name for name in promised if f"`-k {name}`" not in guarantees] == []
    assert len(front.splitlines()) <= 170


def test_every_promise_has_a_test_of_its_name() -> None:
    section = README.partition("## What is promised")[2].partition("And what is not")[0]
    promised = re.findall(r"\| `-k (test_\w+)` \|", section)
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))

    assert "| promise | `./scripts/test` and |" in section
    assert len(promised) == section.count("| **") >= 8
    assert [name for name in promised if f"def {name}(" not in tests] == []


def test_every_word_of_the_fault_table_selects_a_test() -> None:
    section = README.partition("`./scripts/test tests/faults` and |")[2].partition("And what is not")[0]
    chosen = re.findall(r'\| `-k "?([\w ]+)"?` \|', section)
    tests = " ".join(
        re.findall(r"def (test_\w+)", "".join(f.read_text() for f in (ROOT / "tests/faults").glob("*.py")))
    )

    assert len(chosen) == section.count("| `-k") >= 7
    assert [word for words in chosen for word in words.split(" or ") if word not in tests] == []


def test_every_public_method_is_named() -> None:
    methods = {name for name, _ in inspect.getmembers(Queue, inspect.isfunction) if not name.startswith("_")}
    assert {name for name in methods if f"### {name}\n" not in verbs()} == set()


def test_the_producer_and_worker_run_as_printed(server: EmbeddedServer) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    program = block("python", "def send")
    assert len(program.splitlines()) <= 20
    program = program.replace("mongodb://localhost/shop?replicaSet=rs0", server.uri)
    program = program.replace('namespace="mail"', f'namespace="{namespace}"')
    program = program.replace("queue.run(send)", "queue.run(send, burst=True)")
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    with Queue(server.uri, namespace=namespace) as queue:
        stats = queue.stats()["default"]
        assert (stats.completed, stats.scheduled, stats.ready) == (1_001, 1, 0)
        assert {task.result["sent"] for task in queue.tasks(state="completed", limit=None)} == {True}
    assert "welcome mail to ada@example.org, attempt 1" in printed.stdout


def test_the_asyncio_program_runs_as_printed(server: EmbeddedServer) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    program = block("python", "AsyncQueue(client")
    program = program.replace("mongodb://localhost/shop?replicaSet=rs0", server.uri)
    program = program.replace('namespace="mail"', f'namespace="{namespace}"')
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert "mailed ada@example.org" in printed.stdout
    with MongoClient[dict[str, Any]](server.uri) as client:
        rows = client["mongoq"][f"{namespace}.tasks"]
        assert rows.count_documents({"tags.to": "bob@example.org"}) == 1


def test_the_task_functions_run_as_printed(server: EmbeddedServer, tmp_path: Path) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    code = block("python", "def charge(").replace("mongodb://localhost/shop?replicaSet=rs0", server.uri)
    program = tmp_path / "program.py"
    program.write_text(code.replace('namespace="shop"', f'namespace="{namespace}"'))
    printed = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)

    assert printed.stdout == "39.80\n"
    with Queue(server.uri, namespace=namespace) as queue:
        assert queue.count(queue="mail") == 101
        (gold,) = queue.tasks(where={"template": "gold"})
        assert (gold.name, gold.priority, gold.tags["user"]) == ("welcome", 9, 42)


def test_a_handler_of_two_arguments_runs_in_children_as_printed(server: EmbeddedServer, tmp_path: Path) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    program = tmp_path / "program.py"
    opened = f"queue = Queue({server.uri!r}, namespace={namespace!r})"
    printed = (
        block("python", "queue.run(render").replace('"acme"}', '"acme"}, burst=True').replace("workers=8", "workers=1")
    )
    program.write_text(f"from mongoq import Attempt, Queue, Task\n\n{opened}\n\n\n{printed}")
    with Queue(server.uri, namespace=namespace) as queue:
        queue.new({"pages": 1, "tenant": "acme"}, queue="bulk", key="ours")
        queue.new({"pages": 1, "tenant": "other"}, queue="bulk", key="theirs")
        subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
        progress = queue.get("ours").progress
        assert progress is not None
        assert (progress.message, [line.text for line in progress.log]) == ("page 0", ["None s left"])
        assert (queue.get("ours").result, queue.get("theirs").attempts) == ("done", 0)


def test_the_claims_by_hand_run_as_printed(server: EmbeddedServer) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    program = block("python", "queue.keepalive")
    program = program.replace("mongodb://localhost/shop?replicaSet=rs0", server.uri)
    program = program.replace('namespace="crawl"', f'namespace="{namespace}"')
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)

    with Queue(server.uri, namespace=namespace) as queue:
        stats = queue.stats()["pages"]
        assert (stats.completed, stats.cancelled, stats.size) == (101, 199, 0)


def test_a_document_as_printed_is_a_task(server: EmbeddedServer) -> None:
    document = json_util.loads(block("json", "_id"))
    namespace = f"t-{secrets.token_hex(4)}"
    with MongoClient[dict[str, Any]](server.uri) as client, Queue(client, namespace=namespace) as queue:
        queue.init()
        client["mongoq"][f"{namespace}.tasks"].insert_one(document)
        seen: list[int] = []
        queue.run(lambda task: seen.append(task.tags["user"]), burst=True)
        assert seen == [42]
        assert queue.get("any string").state is TaskState.COMPLETED


@pytest.mark.parametrize("containing, count", [("queue.load", 5_000), ("queue.submit", 1_000), ("queue.buffer", 1_000)])
def test_many_tasks_are_enqueued_as_printed(server: EmbeddedServer, containing: str, count: int) -> None:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue:
        names: dict[str, Any] = {"queue": queue, "NewTask": NewTask, "ThreadPoolExecutor": ThreadPoolExecutor}
        exec(block("python", containing), names)  # noqa: S102 -- the README's own
        assert queue.size() == count


def test_the_atomic_change_runs_as_printed(server: EmbeddedServer) -> None:
    defined: dict[str, Any] = {}
    exec(f"from mongoq import NewTask, Queue\n{block('python', 'def advance')}", defined)  # noqa: S102 -- our own text
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue:
        for key in ("o1", "config", "remind-o1"):
            queue.new(key=key)
        defined["advance"](queue, "o1")
        assert [(task.queue, task.priority) for task in queue.tasks(keys=["o1"])] == [("packing", 5)]
        assert queue.queues() == {"default": 1, "invoices": 1, "packing": 1}


def test_what_a_handler_returns_and_writes_runs_as_printed(server: EmbeddedServer) -> None:
    with MongoClient[dict[str, Any]](server.uri) as client:
        client["shop"].drop_collection("invoices")
        with Queue(client, namespace=f"t-{secrets.token_hex(4)}") as queue:
            defined: dict[str, Any] = {"queue": queue}
            blocks = block("python", "def pack") + block("python", "def invoice")
            exec(f"from mongoq import NewTask, Task\n{blocks}", defined)  # noqa: S102 -- our own text
            queue.new({"order": "o1"})
            queue.run(defined["pack"], burst=True)
            assert queue.size("shipping") == 2
            queue.new({"order": "o1"})
            queue.run(defined["invoice"], burst=True)
            assert queue.stats()["default"].completed == 2
        assert [row["_id"] for row in client["shop"]["invoices"].find()] == ["o1"]
