"""What docs/history.md presumes: a queue whose worker has run tasks."""

from __future__ import annotations

import os

from mongoq import NewTask, Queue

queue = Queue(os.environ["MONGOQ_URI"], namespace="shop")
queue.new_many(NewTask(queue="mail", name="welcome") for _ in range(7))
queue.run(lambda _task: None, queues="mail", burst=True)


def check() -> None:
    assert sum(point.completed for point in queue.history("mail", since=3600)) == 7
    queue.close()
