"""The jobs of a hand-made queue are moved while its producers and workers go on."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

from examples.adopt import Job, adopt
from mongoq import NewTask, Queue, Task
from mongoq.embedded.server import EmbeddedServer

JOBS = 400


def convert(job: Job) -> NewTask:
    return NewTask({"n": job["n"]}, key=f"job-{job['_id']}")


def test_each_job_is_done_once_by_the_old_workers_or_the_new(
    server: EmbeddedServer, until: Callable[..., None]
) -> None:
    done: list[int] = []
    produced, stop = threading.Event(), threading.Event()
    with MongoClient[dict[str, Any]](server.uri) as client:
        jobs = client["shop"][f"jobs-{secrets.token_hex(4)}"]

        def produce() -> None:
            for n in range(JOBS):
                jobs.insert_one({"n": n, "status": "pending"})
            produced.set()

        def work() -> None:
            while not stop.is_set():
                claimed = jobs.find_one_and_update({"status": "pending"}, {"$set": {"status": "running"}})
                if claimed is not None:
                    done.append(claimed["n"])
                    jobs.update_one({"_id": claimed["_id"]}, {"$set": {"status": "done"}})

        threads = [threading.Thread(target=produce), threading.Thread(target=work)]
        with Queue(client, namespace=f"t-{secrets.token_hex(4)}") as queue:
            queue.init()
            for thread in threads:
                thread.start()
            moved = 0
            while not produced.is_set():
                moved += adopt(jobs, queue, convert, batch=20)
            stop.set()
            for thread in threads:
                thread.join()
            moved += adopt(jobs, queue, convert)
            by_mongoq: list[int] = []

            def handler(task: Task) -> None:
                by_mongoq.append(task.tags["n"])

            queue.run(handler, burst=True)
        assert sorted(done + by_mongoq) == list(range(JOBS))
        assert moved == len(by_mongoq) == jobs.count_documents({"status": "adopted"}) > 0
        jobs.drop()
