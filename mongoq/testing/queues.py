"""Queues on mongomock, each with a database of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, Unpack

from mongoq.async_queue import AsyncQueue
from mongoq.core.clock import Clock, FrozenClock
from mongoq.core.host.extras import needs
from mongoq.core.judging.backoff import BackoffLike
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.validation import Duration, Unset
from mongoq.queue import Queue

NAMESPACE = "test"


class QueueOptions(TypedDict, total=False):
    """The options of `Queue`, but for its target."""

    namespace: str
    max_age: Duration | None
    max_retries: int | None
    workers: int | None
    deadline: Duration | None
    backoff: BackoffLike | Duration | Unset
    lease: Duration | Unset
    keep_completed: Duration | Unset
    keep_failed: Duration | Unset
    retry_on: RetryOn | Unset | None
    no_retry_on: RetryOn | Unset
    failure_message: str | None
    grace: Duration
    max_task_bytes: int
    claimant: str | None
    error_queue: bool | Callable[[str], str] | None
    clock: Clock | None
    fair_share: float | None
    aging: Duration | None


def memory_queue(**options: Unpack[QueueOptions]) -> Queue:
    """A `Queue` without a server: on a new mongomock client, with a clock that stands still.

    The options are those of `Queue`; by default the namespace is `test` and the grace 0. `clock=FrozenClock()` gives a
    clock to move by hand, `clock=ServerClock()` one that runs.
    """
    return Queue(_client(), **_with_defaults(options))


def memory_async_queue(**options: Unpack[QueueOptions]) -> AsyncQueue:
    """An `AsyncQueue` without a server; see `memory_queue`."""
    return AsyncQueue(_client(), **_with_defaults(options))


def _client() -> Any:
    with needs("mongoq[testing]"):
        import mongomock  # noqa: PLC0415 -- 100 ms that only these need

    return mongomock.MongoClient()


def _with_defaults(options: QueueOptions) -> QueueOptions:
    return QueueOptions(**{"namespace": NAMESPACE, "grace": 0, "clock": FrozenClock(), **options})
