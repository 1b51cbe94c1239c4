"""The benchmarks, by name."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient

from benchmarks import raw
from benchmarks.report import Row, rounds
from mongoq import Queue, Task


@dataclass(frozen=True, slots=True)
class Setting:
    """What a benchmark runs on."""

    client: MongoClient[Any]
    repeat: int
    tasks: int

    def queue(self, *, keep: float = 0) -> Queue:
        """A queue with a fresh namespace."""
        database = self.client["mongoq_bench"]
        return Queue(database, namespace=f"bench-{secrets.token_hex(4)}", keep_completed=keep)

    def drop(self, queue: Queue) -> None:
        """Remove what a round left behind."""
        for name in ("tasks", "workers"):
            self.client["mongoq_bench"].drop_collection(f"{queue.namespace}.{name}")


def drain(setting: Setting) -> list[Row]:
    """No-op tasks through one worker process, deleted on completion and kept; of the plain loop, which deletes."""

    def measure(keep: float) -> Callable[[], float]:
        return lambda: _filled(setting, keep, _drained)

    def limit() -> float:
        return _filled(setting, 0, lambda queue: raw.drain(_collection(setting, queue)))

    return [
        Row(name, "tasks/s", *rounds(setting.repeat, measure(keep), limit))
        for name, keep in (("drain.delete", 0), ("drain.keep", 3600))
    ]


def enqueue(setting: Setting) -> list[Row]:
    """`new_many` and `new`; of insert_many and insert_one of the same documents."""
    few = max(1, setting.tasks // 20)
    many = rounds(setting.repeat, lambda: _new_many(setting), lambda: _raw(setting, setting.tasks, raw.insert_many))
    one = rounds(setting.repeat, lambda: _new(setting, few), lambda: _raw(setting, few, raw.insert_one))
    return [Row("enqueue.many", "tasks/s", *many), Row("enqueue.one", "tasks/s", *one)]


BENCHMARKS: dict[str, Callable[[Setting], list[Row]]] = {"drain": drain, "enqueue": enqueue}


def _no_op(task: Task) -> None:
    pass


def _filled(setting: Setting, keep: float, run: Callable[[Queue], float]) -> float:
    with setting.queue(keep=keep) as queue:
        queue.new_many(_tags(setting.tasks))
        try:
            return run(queue)
        finally:
            setting.drop(queue)


def _drained(queue: Queue) -> float:
    size = queue.size()
    began = time.perf_counter()
    queue.run(_no_op, burst=True)
    rate = size / (time.perf_counter() - began)
    if queue.size():
        raise AssertionError("the burst ended before the queue was empty")
    return rate


def _new_many(setting: Setting) -> float:
    with setting.queue() as queue:
        queue.init()
        began = time.perf_counter()
        queue.new_many(_tags(setting.tasks))
        rate = setting.tasks / (time.perf_counter() - began)
        setting.drop(queue)
        return rate


def _new(setting: Setting, count: int) -> float:
    with setting.queue() as queue:
        queue.init()
        began = time.perf_counter()
        for tags in _tags(count):
            queue.new(tags)
        rate = count / (time.perf_counter() - began)
        setting.drop(queue)
        return rate


def _raw(setting: Setting, count: int, insert: Callable[[Any, list[dict[str, Any]]], float]) -> float:
    """The same documents under the same indexes, made beforehand."""
    with setting.queue() as model, setting.queue() as queue:
        model.new_many(_tags(count))
        documents = list(_collection(setting, model).find())
        queue.init()
        rate = insert(_collection(setting, queue), documents)
        setting.drop(model)
        setting.drop(queue)
        return rate


def _tags(count: int) -> list[dict[str, Any]]:
    return [{"user": number, "template": "welcome"} for number in range(count)]


def _collection(setting: Setting, queue: Queue) -> Any:
    return raw.collection(setting.client["mongoq_bench"], f"{queue.namespace}.tasks")
