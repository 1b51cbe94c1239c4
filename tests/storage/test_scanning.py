"""Any number of tasks, one by one: page after page, each when it is asked for, whatever their keys are."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import mongomock
import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient

from mongoq import AsyncQueue, ConfigurationError, Queue, Task
from mongoq.cli import main
from mongoq.cli.looking.paging import PAGE
from mongoq.core.validation import UNSET
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.operations import queries

KEYS: list[Any] = [
    -3, 2.5, 7, "", "a", "b", "c", {"a": 1}, {"b": 1}, b"x", b"y", ObjectId("0" * 24), ObjectId("f" * 24), False, True,
    datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC),
]  # fmt: skip
"""In the server's order."""


@pytest.fixture
def queue(server: EmbeddedServer) -> Iterator[Queue]:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue:
        yield queue


@pytest.fixture
def collection(server: EmbeddedServer, queue: Queue) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](server.uri, tz_aware=True) as client:
        yield client["mongoq"][f"{queue.namespace}.tasks"]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "FIRST_PAGE", 2)
    monkeypatch.setattr(queries, "PAGE", 3)


def keys_of(tasks: Any) -> list[Any]:
    return [task.key for task in tasks]


def test_every_task_comes_once_in_order(queue: Queue, small_pages: None) -> None:
    keys = [task.key for task in queue.new_many([{"n": n % 2} for n in range(12)])]
    assert keys_of(queue.scan()) == sorted(keys)
    assert keys_of(queue.scan(where={"n": 1})) == sorted(keys)[1::2]
    assert keys_of(queue.scan(limit=4)) == sorted(keys)[:4]
    assert keys_of(queue.scan(after=sorted(keys)[4], limit=6)) == sorted(keys)[5:11]
    assert keys_of(queue.scan(queue="elsewhere")) == keys_of(queue.scan(after=max(keys))) == []


@pytest.mark.parametrize("page", [1, 2, 5, 100])
def test_keys_of_foreign_producers_are_passed_by_none(
    queue: Queue, collection: Any, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(queries, "FIRST_PAGE", page)
    monkeypatch.setattr(queries, "PAGE", page)
    keys = [*KEYS, Decimal128("9")]
    collection.insert_many([{"_id": key, "state": "ready"} for key in keys])
    collection.insert_one({"_id": "broken", "state": 5})
    assert keys_of(queue.scan()) == keys_of(queue.tasks(limit=None))
    assert len(list(queue.scan())) == len(keys)


def test_keys_are_passed_by_none_in_memory_either(small_pages: None) -> None:
    client: Any = mongomock.MongoClient(tz_aware=True)
    keys = [key for key in KEYS if not isinstance(key, dict)]  # which mongomock cannot compare
    client["mongoq"]["default.tasks"].insert_many([{"_id": key, "state": "ready"} for key in keys])
    with Queue(client) as queue:
        found = keys_of(queue.scan())
    assert len(found) == len(keys)
    assert all(key in found for key in keys)


def test_a_page_that_one_batch_does_not_hold_is_not_the_last(queue: Queue) -> None:
    """A batch holds 16 MiB."""
    queue.new_many([{"n": n, "text": "x" * 900_000} for n in range(40)])
    assert [task.tags["n"] for task in queue.scan()] == [*range(40)]


def test_a_scan_is_awaited_too(server: EmbeddedServer, queue: Queue, small_pages: None) -> None:
    keys = [task.key for task in queue.new_many([{}] * 9)]

    async def read() -> list[Task]:
        async with AsyncQueue(server.uri, namespace=queue.namespace) as awaited:
            return [task async for task in awaited.scan()]

    assert keys_of(asyncio.run(read())) == sorted(keys)


@pytest.mark.parametrize("option", [{"after": 5}, {"limit": 0}, {"where": 3}, {"state": "redy"}, {"queue": ""}])
def test_bad_input_is_refused_by_name(queue: Queue, option: dict[str, Any]) -> None:
    name = {"after": "key"}.get(next(iter(option)), next(iter(option)))
    with pytest.raises(ConfigurationError, match=name):
        next(iter(queue.scan(**option)))
    assert queue.scan(after=UNSET) is not None


class Pipe(io.StringIO):
    """A stdout that tells of the first text."""

    def __init__(self, hear: Callable[[], object]) -> None:
        super().__init__()
        self._hear: Callable[[], object] | None = hear

    def write(self, text: str) -> int:
        if self._hear is not None and "a000" in text:
            hear, self._hear = self._hear, None
            hear()
        return super().write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


@pytest.fixture
def many(server: EmbeddedServer, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.setenv("MONGOQ_NAMESPACE", queue.namespace)
    queue.load({"n": n} for n in range(300))
    for n, key in enumerate(keys_of(queue.tasks(limit=None))):
        task = queue.get(key)
        queue.delete(key)
        queue.new(task.tags, key=f"a{n:03}")
    return queue


@pytest.mark.parametrize("as_json", [False, True])
def test_ls_writes_the_first_tasks_before_it_reads_the_last(many: Queue, as_json: bool) -> None:
    """When the first is written the others are deleted: those that were read already are listed."""
    with contextlib.redirect_stdout(Pipe(lambda: many.delete_all(queue="default"))) as out:
        assert main(["ls", "--queue", "default", "--limit", "300", *(["--json"] if as_json else [])]) == 0
    text = out.getvalue()
    listed = [task["key"] for task in json.loads(text)] if as_json else [row[:4] for row in text.splitlines()[1:]]
    assert listed == [f"a{n:03}" for n in range(PAGE)]


@pytest.mark.parametrize("as_json", [False, True])
def test_ls_ends_with_the_reader_of_its_output(many: Queue, as_json: bool) -> None:
    def close() -> None:
        raise BrokenPipeError

    with contextlib.redirect_stdout(Pipe(close)) as out:
        assert main(["ls", "--queue", "default", "--limit", "300", *(["--json"] if as_json else [])]) == 0
    assert "a001" not in out.getvalue()
