"""What is told of one attempt at a task: its live side while the handler runs, and why it did not complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from mongoq.core.signals import Interruption
from mongoq.core.tasks.progress import Unwritten

if TYPE_CHECKING:
    from mongoq.core.tasks.task import Task

__all__ = ["Attempt", "Failure", "TaskError"]


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why one attempt did not complete."""

    type: str
    """The name of the exception's class, or `WorkerLost` when the worker vanished."""
    message: str
    """The exception's text, at most 2,000 characters."""
    traceback: str
    """The end of the traceback, at most 8,000 characters; empty when there was none."""
    at: datetime
    """When the attempt ended, server time."""
    attempt: int
    """The number of the attempt, counted from 1."""
    worker: str
    """The worker: `host:pid:random`."""
    trace: str | None = None
    """The span of the attempt as a `traceparent`; None where nobody traced it."""


class Failure(StrEnum):
    """Why a task has failed."""

    EXHAUSTED = "exhausted"
    """Its last retry failed too."""
    HANDLER = "handler"
    """Its handler raised `Fail`, or its claimant called `fail`."""
    NOT_RETRIED = "not_retried"
    """`retry_on` or `no_retry_on` forbids to retry its error."""
    LOST = "lost"
    """Its workers vanished, one after another."""
    REFUSED = "refused"
    """What its handler returned, or the document itself, is not acceptable."""


class Attempt(Protocol):
    """The live side of a task that a handler is running."""

    @property
    def task(self) -> Task:
        """The task: its key, how many attempts it had, its errors. LookupError in a plain call, which has none."""

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop; None: it should not."""

    def time_left(self) -> float | None:
        """Seconds until the handler should stop: at its deadline, the end of its lease, or of a shutdown's grace."""

    def progress(self, value: float | None = None, message: str | None = None) -> None:
        """Report progress: `attempt.progress(0.4, "rendering")`, shown by `task.progress`, `show` and `tasks`.

        It sends no command by itself: the newest value is stored within a second, in one write for all handlers of the
        process, and at the latest with the attempt's ending. In a child process each call is a message to its parent.

        Args:
            value: from 0 to 1. None leaves the last one.
            message: what is being done; more than 500 characters are cut. None leaves the last one.

        Raises:
            ConfigurationError: `value` is no number from 0 to 1, or both are None.
        """

    def log(self, text: object) -> None:
        """Add a line to the log that is stored with the task: its last 100 lines, at most 16 KiB of them.

        A line has at most 1,000 characters. It is stored like `progress`. Each attempt begins a new log.
        """

    @property
    def parents(self) -> Mapping[str, Task]:
        """The finished parents of this task, by key in the order of `after`, with their results.

        A parent that was deleted meanwhile is missing. They are read at the claim, in one find for all tasks
        that are claimed together.
        """

    @property
    def unwritten(self) -> Unwritten | None:
        """What was said and is not stored yet."""

    trace: str | None
    """The span of this attempt as a `traceparent`, which is stored with its error; None where nobody traces it."""

    @property
    def state(self) -> Any:
        """The value that the queue's lifespan yielded; None without one."""
