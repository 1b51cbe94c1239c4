"""What workers write of themselves while they run tasks."""

from __future__ import annotations

from mongoq import Fail, NewTask, Queue, Task


def test_a_worker_writes_what_it_did(queue: Queue) -> None:
    queue.new_many(NewTask({"n": n}, name="welcome") for n in range(200))

    def work(task: Task) -> None:
        if task.tags["n"] < 5:
            raise Fail("no such user")

    queue.run(work, burst=True)
    points = queue.history(name="welcome", since=600)
    assert sum(one.starts for one in points) == 200
    assert (sum(one.completed for one in points), sum(one.failed for one in points)) == (195, 5)
    assert all(one.wait is not None and one.run is not None for one in points if one.starts)
