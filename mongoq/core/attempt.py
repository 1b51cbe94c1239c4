"""What is told of one attempt at a task: its live side while the handler runs, and why it did not complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mongoq.core.signals import Interruption

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


class Failure(StrEnum):
    """Why a task has failed."""

    EXHAUSTED = "exhausted"
    """Its last retry failed too."""
    HANDLER = "handler"
    """Its handler raised `Fail`, or its claimant called `fail`."""
    NOT_RETRIED = "not_retried"
    """`retry_on` or `no_retry_on` forbids to retry its error."""
    LOST = "lost"
    """Its workers vanished, one after the other."""
    REFUSED = "refused"
    """What its handler returned, or the document itself, is not acceptable."""


class Attempt(Protocol):
    """The live side of a task that a handler is running."""

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop; None: it should not."""

    def time_left(self) -> float | None:
        """Seconds until the handler should stop: at its deadline, the end of its lease, or of a shutdown's grace."""
