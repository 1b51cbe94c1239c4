"""What docs/flow.md presumes."""

from __future__ import annotations

from mongoq import NewTask, Queue, Task

__all__ = ["NewTask"]
queue = Queue(namespace="flow", grace=1)
url = "https://example.org"
pages = ["a", "b", "c"]


@queue.task
def report() -> None:
    pass


@queue.task
def resize(width: int) -> int:
    return width


def run(task: Task) -> object:
    return globals()["handler"](task)


def check() -> None:
    queue.run(run, burst=True)
    known = queue.get_batch(globals()["batch"])
    assert (known.completed, known.finished) == (4, True)
    assert queue.get(globals()["parse"].key).state == "completed"
