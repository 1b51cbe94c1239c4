"""A producer process of a chaos run: `python -m proving.chaos_producer NAME SEED RATE`, until its stdin ends.

It acts as the documentation says: where `new` raises StorageUnavailable it calls again with the same key and
`on_conflict="skip"`, and only what returned counts as acknowledged.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mongoq import DuplicateTask, NewTask, Queue, StorageUnavailable, TaskNotFound
from proving.chaos_flow import Related, limits
from proving.chaos_handlers import FOLDER, KINDS
from proving.chaos_worker import end_with_stdin, queue_of
from proving.journal import Journal

DELETED: Final = 0.3
"""How many tasks are deleted on completion. Their keys are free again then, so they are never sent twice."""
MARK: Final = "-deleted"
OPTIONS: Final = [
    "key", "on_conflict", "queue", "priority", "delay", "max_retries", "deadline", "keep_completed",
    "limits", "after", "on_parent_failure", "batch",
]  # fmt: skip


def _is_deleted(task: NewTask) -> bool:
    return str(task.key).endswith(MARK)


class Producer:
    """Makes tasks of all kinds in all ways."""

    def __init__(self, name: str, seed: int, queue: Queue, journal: Journal) -> None:
        self._name = name
        self._random = random.Random(f"{name}/{seed}")  # noqa: S311 -- no secret
        self._queue = queue
        self._journal = journal
        self._count = 0
        self.over = threading.Event()
        self._related = Related(queue, self._random, self._all)

    def step(self) -> int:
        """Do one thing; how many tasks it made."""
        chance = self._random.random()
        if self._count == 0:  # so that a short run on a busy machine has some of these
            return self._graph() + self._batch()
        if chance < 0.01:
            return self._many(200)
        if chance < 0.15:
            return self._many(self._random.randint(2, 20))
        if chance < 0.25 and self._count:
            return self._again()
        if chance < 0.27 and self._count:
            return self._cancel()
        if chance < 0.30:
            return self._graph()
        if chance < 0.315:
            return self._batch()
        return self._one(self._task())

    def _graph(self) -> int:
        self._count += 1
        return self._related.graph(f"{self._name}-child-{self._count}", self._tasks(1, 3))

    def _batch(self) -> int:
        self._count += 1
        key = f"{self._name}-batch-{self._count}"
        return self._related.batch(key, self._tasks(0, 8), self.over, lambda: self._made([(key, 0, True)]))

    def _tasks(self, least: int, most: int) -> list[NewTask]:
        return [self._task() for _ in range(self._random.randint(least, most))]

    def _task(self) -> NewTask:
        self._count += 1
        kind = self._random.choices(list(KINDS), list(KINDS.values()))[0]
        options: dict[str, Any] = {}
        if kind in ("broken", "poison", "late"):
            options["max_retries"] = 1
        if kind == "late":
            options["deadline"] = 0.5
        if self._random.random() < 0.1:
            options["delay"] = self._random.uniform(0.5, 4)
        key = f"{self._name}-{self._count}"
        if self._random.random() < DELETED:
            key, options["keep_completed"] = f"{key}{MARK}", 0
        tags, options["limits"] = limits(self._random)
        return NewTask(
            {"kind": kind, "times": self._random.randint(1, 2), **tags},
            key=key,
            on_conflict="skip",
            queue=self._random.choice(["default", "other"]),
            priority=self._random.randint(0, 4),
            **options,
        )

    def _one(self, task: NewTask) -> int:
        options = {name: getattr(task, name) for name in OPTIONS}
        while not self.over.is_set():
            try:
                self._queue.new(task.tags, **options)
            except StorageUnavailable:
                if _is_deleted(task):
                    return 0
                self.over.wait(0.2)
            else:
                self._note([task])
                return 1
        return 0

    def _many(self, count: int) -> int:
        return self._all([self._task() for _ in range(count)])

    def _all(self, tasks: Sequence[NewTask]) -> int:
        try:
            self._queue.new_many(tasks)
        except (StorageUnavailable, DuplicateTask):  # the driver may repeat what it had sent already
            return sum(self._one(task) for task in tasks if not _is_deleted(task))
        self._note(tasks)
        return len(tasks)

    def _again(self) -> int:
        """Enqueue under a key that is taken: nothing may come of it."""
        try:
            self._queue.new(
                {"kind": "quick"}, key=f"{self._name}-{self._random.randint(1, self._count)}", on_conflict="skip"
            )
        except StorageUnavailable:
            self.over.wait(0.2)
        return 0

    def _cancel(self) -> int:
        try:
            self._queue.cancel(f"{self._name}-{self._random.randint(max(1, self._count - 50), self._count)}")
        except (StorageUnavailable, TaskNotFound):
            self.over.wait(0.2)
        return 0

    def _note(self, tasks: Sequence[NewTask]) -> None:
        self._made([(task.key, task.priority, bool(task.delay or task.after or task.limits)) for task in tasks])

    def _made(self, tasks: Sequence[tuple[str | None, int, bool]]) -> None:
        """Write down what was acknowledged: the key, the priority, and whether it may have to wait."""
        self._journal.write("made", tasks=tasks)


def main() -> None:
    """Produce at a steady rate on average."""
    name, seed, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    journal = Journal(Path(os.environ[FOLDER]), name)
    with queue_of(os.environ["MONGOQ_URI"]) as queue:
        producer = Producer(name, seed, queue, journal)
        threading.Thread(target=end_with_stdin, args=(producer.over.set,), daemon=True).start()
        following = time.monotonic()
        while not producer.over.is_set():
            following = max(following, time.monotonic() - 1) + producer.step() / rate
            producer.over.wait(max(0.0, following - time.monotonic()))


if __name__ == "__main__":
    main()
