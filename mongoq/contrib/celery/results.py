"""What a producer holds of a call: its state and its result, under Celery's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final

from mongoq import Task, TaskNotFound, TaskState
from mongoq.contrib.celery.registered import current_queue
from mongoq.core.judging.ended import error_of

__all__ = ["AsyncResult", "GroupResult"]

PENDING, RETRY = "PENDING", "RETRY"
STATES: Final = {
    TaskState.PARKED: PENDING,
    TaskState.SCHEDULED: PENDING,
    TaskState.READY: PENDING,
    TaskState.RUNNING: "STARTED",
    TaskState.COMPLETED: "SUCCESS",
    TaskState.FAILED: "FAILURE",
    TaskState.CANCELLED: "REVOKED",
    TaskState.EXPIRED: "REVOKED",
}


class AsyncResult:
    """The call of an id: `AsyncResult(id).get(timeout=10)`, `.state`, `.ready()`."""

    def __init__(self, id: str) -> None:  # noqa: A002 -- Celery's own name
        self.id = id

    @property
    def task_id(self) -> str:
        """Its id, which is the key of the task."""
        return self.id

    @property
    def task(self) -> Task | None:
        """The task of mongoq as it stands; None where there is none."""
        try:
            return current_queue().get(self.id)
        except TaskNotFound:
            return None

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED; PENDING also where there is no such task."""
        task = self.task
        if task is None:
            return PENDING
        return RETRY if task.state is TaskState.SCHEDULED and task.retries else STATES[task.state]

    status = state

    def ready(self) -> bool:
        """Whether it has ended."""
        task = self.task
        return task is not None and task.finished

    def successful(self) -> bool:
        """Whether it has completed."""
        task = self.task
        return task is not None and task.state is TaskState.COMPLETED

    def failed(self) -> bool:
        """Whether it has failed."""
        task = self.task
        return task is not None and task.state is TaskState.FAILED

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Any:
        """Wait for the result, at most `timeout` seconds.

        Raises TaskFailed, TaskCancelled or TaskExpired (without `propagate` they are returned), TimeoutError, and
        TaskNotFound where there is no such task: Celery would wait for ever.
        """
        task = current_queue().wait(self.id, timeout=timeout)
        if task is None:
            raise TimeoutError(f"the task {self.id!r} has not finished within {timeout} s")
        error = error_of(task)
        if error is not None and propagate:
            raise error
        return task.result if error is None else error

    wait = get

    @property
    def result(self) -> Any:
        """The result, or the error; None while there is neither."""
        task = self.task
        return None if task is None or not task.finished else error_of(task) or task.result

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of the last error."""
        task = self.task
        return None if task is None or task.last_error is None else task.last_error.traceback

    def revoke(self, **_: Any) -> None:
        """Cancel it; one that runs is told, and stopped where its executor can."""
        current_queue().cancel(self.id)

    def forget(self) -> None:
        """Delete it with its result."""
        current_queue().delete(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<AsyncResult: {self.id}>"


class GroupResult:
    """The calls of a group, in its order; a chain in it that ends in a group has a GroupResult of its own."""

    def __init__(self, results: Sequence[AsyncResult | GroupResult]) -> None:
        self.results = list(results)

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(one.ready() for one in self.results)

    def successful(self) -> bool:
        """Whether all have completed."""
        return all(one.successful() for one in self.results)

    def failed(self) -> bool:
        """Whether one has failed."""
        return any(one.failed() for one in self.results)

    def completed_count(self) -> int:
        """How many have completed."""
        return sum(one.successful() for one in self.results)

    def get(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> list[Any]:
        """Wait for all results, at most `timeout` seconds together; raises the error of the first that has none."""
        until = None if timeout is None else monotonic() + timeout
        return [one.get(None if until is None else max(0.0, until - monotonic()), propagate) for one in self.results]

    join = get

    def revoke(self, **_: Any) -> None:
        """Cancel all."""
        for one in self.results:
            one.revoke()

    def __iter__(self) -> Iterator[AsyncResult | GroupResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, place: int) -> AsyncResult | GroupResult:
        return self.results[place]
