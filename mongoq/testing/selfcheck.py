"""`python -m mongoq.testing.selfcheck`: whether an installation of mongoq works on this machine.

It checks the memory driver, then a server: the one of MONGOQ_URI, else a private one where a mongod is found. On the
server it uses a namespace of its own, whose tasks it deletes. Exit codes: 0 all is well, 1 a check failed.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from mongoq import ConfigurationError, DuplicateTask, Queue, Retry, Task, TaskState
from mongoq.embedded.server import find_mongod, open_embedded
from mongoq.testing.queues import memory_queue
from mongoq.testing.running import run_due

SECONDS: Final = 60.0
"""The longest wait for a task, on a machine that is busy with other things."""


class Wrong(Exception):
    """A check found something else than it expects."""


def expect(holds: object, what: str) -> None:
    """Raise Wrong with what should hold, unless it does."""
    if not holds:
        raise Wrong(what)


def double(task: Task) -> int:
    """Return twice the tag `n`, in the second attempt where the tag `retry` asks for it."""
    if task.get("retry") and task.attempts == 1:
        raise Retry(delay=0)
    number: int = task.tags["n"]
    return number * 2


def check_memory() -> None:
    """Enqueue, refuse a duplicate, retry and complete on mongomock."""
    with memory_queue() as queue:
        _refuses_a_duplicate(queue)
        key = queue.new({"n": 21, "retry": True}).key
        run_due(queue, double)
        _is_doubled(queue.get(key), attempts=2)


def check_server(queue: Queue) -> None:
    """Build the indexes, enqueue, and refuse a duplicate."""
    queue.init()
    _refuses_a_duplicate(queue)
    queue.cancel_all(queue="default")


def check_threads(queue: Queue) -> None:
    """Run tasks in threads of a worker, one of them twice."""
    _runs(queue, "threads")


def check_processes(queue: Queue) -> None:
    """Run tasks in child processes of a worker."""
    _runs(queue, "processes")


def check_transaction(queue: Queue) -> None:
    """Complete a task and enqueue another in one transaction."""
    task = queue.new({"n": 1})
    claimed = queue.claim(key=task.key)
    assert claimed
    with queue.transaction(claimed):
        queue.new({"n": 2}, key="follow-up")
    expect(queue.get(task.key).state is TaskState.COMPLETED, "the task of the transaction has completed")
    expect(queue.get("follow-up").state is TaskState.READY, "the task that the transaction enqueued is ready")


def _refuses_a_duplicate(queue: Queue) -> None:
    queue.new({"n": 1}, unique="one")
    try:
        queue.new({"n": 1}, unique="one")
    except DuplicateTask:
        return
    raise Wrong("a second task with the same `unique` is refused")


def _runs(queue: Queue, executor: Any) -> None:
    tasks = [queue.new({"n": n, "retry": n == 0}) for n in range(10)]
    worker = queue.start(double, workers=2, executor=executor)
    try:
        for task in tasks:
            ended = queue.wait(task.key, timeout=SECONDS)
            expect(ended, f"a task of ten ends within {SECONDS:g} s")
            assert ended
            _is_doubled(ended, attempts=2 if task.tags["n"] == 0 else 1)
    finally:
        worker.stop()


def _is_doubled(task: Task, attempts: int) -> None:
    expect(task.state is TaskState.COMPLETED, f"the task completes, and it is {task.state}: {task.errors}")
    expect(task.result == task.tags["n"] * 2, f"the result is {task.tags['n'] * 2}, and it is {task.result}")
    expect(task.attempts == attempts, f"it takes {attempts} attempts, and it took {task.attempts}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def passes(name: str, check: Callable[..., None], *arguments: Any) -> bool:
    """Run one check and print how it went; whether it passed."""
    try:
        check(*arguments)
    except Exception as error:  # noqa: BLE001 -- each is reported, and the next check runs
        _say(f"FAILED  {name}: {type(error).__name__}: {error}")
        if not isinstance(error, Wrong):
            traceback.print_exc()
        return False
    _say(f"ok      {name}")
    return True


@contextmanager
def _uri() -> Iterator[str | None]:
    """Give where the server is: that of MONGOQ_URI, else a private one; None where no mongod is found."""
    uri = os.environ.get("MONGOQ_URI")
    if uri:
        yield uri
        return
    try:
        find_mongod()
    except ConfigurationError as error:
        _say(f"skipped the checks on a server: MONGOQ_URI is not set, and {error}")
        yield None
        return
    temporary = tempfile.TemporaryDirectory(prefix="mongoq-selfcheck-", ignore_cleanup_errors=True)
    with temporary as folder, open_embedded(Path(folder) / "mongodb") as server:
        yield server.uri


def _on_server(uri: str) -> list[bool]:
    checks = {
        "server: indexes, enqueueing": check_server,
        "server: a worker with threads": check_threads,
        "server: a worker with processes": check_processes,
        "server: a transaction": check_transaction,
    }
    with Queue(uri, namespace=f"selfcheck-{secrets.token_hex(4)}", grace=1) as queue:
        try:
            return [passes(name, check, queue) for name, check in checks.items()]
        finally:
            queue.delete_all(queue="default")


def main() -> int:
    """Run all checks, print a line for each, and return the exit code."""
    logging.getLogger("mongoq").setLevel(logging.ERROR)  # a check retries a task, which a worker warns of
    _say(f"mongoq {version('mongoq')}, PyMongo {version('pymongo')}, Python {platform.python_version()}")
    passed = [passes("memory: enqueueing, a retry", check_memory)]
    with _uri() as uri:
        if uri is not None:
            passed += _on_server(uri)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
