"""Calls that are gathered: the futures of `submit`, and the block of a `buffer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ParamSpec

from mongoq.api.base import Base
from mongoq.api.gathering.gathered import gathered
from mongoq.api.gathering.gatherer import Gatherer
from mongoq.api.verb import Awaited, Blocking, Promise, future, scope, verb
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.tasks.alike import whole
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, Checker, Duration, Unset
from mongoq.flow.given import After, BatchLike
from mongoq.limiting.given import Limits
from mongoq.storage.commands import Op
from mongoq.storage.control import Entered

__all__ = ["AsyncBuffer", "Buffer"]

P = ParamSpec("P")


@future
def submit(
    base: Base,
    tags: Mapping[str, Any] | NewTask | None = None,
    *,
    key: str | None = None,
    name: str | None = None,
    on_conflict: str = "error",
    queue: str = "default",
    priority: int = 0,
    delay: Duration | None = None,
    run_at: datetime | None = None,
    expires_at: datetime | None = None,
    payload: Any = None,
    context: Mapping[str, Any] | None = None,
    unique: str | None = None,
    max_retries: int | Unset | None = UNSET,
    backoff: Any = UNSET,
    deadline: Duration | Unset | None = UNSET,
    lease: Duration | Unset = UNSET,
    keep_completed: Duration | Unset = UNSET,
    keep_failed: Duration | Unset = UNSET,
    retry_on: RetryOn | Unset | None = UNSET,
    no_retry_on: RetryOn | Unset = UNSET,
    failure_message: str | Unset | None = UNSET,
    on_complete: Any = UNSET,
    after: After = (),
    on_parent_failure: str = "cancel",
    batch: BatchLike | None = None,
    limits: Limits = (),
) -> Promise[Task]:
    """Enqueue a task without waiting, and return its future: of `concurrent.futures`, or of `asyncio` on AsyncQueue.

    Tasks that are submitted while a command is under way are sent together in the next one, in their order, at about
    a fifteenth of the cost of a `new` each. The arguments are those of `new`. The future gets the task once it is as
    safe as after `new`, or the error of this task alone. A future that is cancelled before its command is sent enqueues
    nothing. The caller's session and time limits do not apply. `close` waits for all submitted tasks; on Queue so
    does the end of the process.

    Up to 10,000 tasks or 32 MiB may wait to be written: then a Queue blocks here, and an AsyncQueue raises QueueFull.

    Raises:
        InvalidTask: something is not acceptable; it lists everything.
        QueueFull: on AsyncQueue, too many tasks wait. If a bounded queue (`max_size`) has no room, the future gets it.
        QueueClosed: the queue was closed.
    """
    task = whole(
        tags, key=key, name=name, queue=queue, priority=priority, delay=delay, run_at=run_at,
        expires_at=expires_at, payload=payload, context=context, unique=unique, on_conflict=on_conflict,
        max_retries=max_retries, backoff=backoff, deadline=deadline, lease=lease, keep_completed=keep_completed,
        keep_failed=keep_failed, retry_on=retry_on, no_retry_on=no_retry_on, failure_message=failure_message,
        on_complete=on_complete, after=after, on_parent_failure=on_parent_failure, batch=batch,
        limits=limits,
    )  # fmt: skip
    base.use(task)
    return base.gatherer.submit(base.hooks.fill(task))  # type: ignore[no-any-return]


def _like_new(build: Callable[P, NewTask]) -> verb[P, Task]:
    """Declare `new` with the arguments of a NewTask."""
    of_tags: Callable[..., NewTask] = whole

    def new(gatherer: Gatherer, /, *args: P.args, **options: P.kwargs) -> Op[Task]:
        """Enqueue a task and return it, with the arguments, errors and promises of `Queue.new`.

        Raises:
            InvalidTask, DuplicateTask, QueueFull: in the call of the task at fault alone.
            StorageUnavailable: in all calls that were written together.
            QueueClosed: the buffer has ended.
        """
        task = gatherer.base.hooks.fill(build(*args, **options) if options else of_tags(*args))
        if gatherer.base.rooms is not None:
            yield from gatherer.base.rooms.admit(task.queue, 1, 0)
        return (yield from gathered(gatherer, task))

    return verb(new)


class Buffer(Blocking):
    """Groups the enqueues of many threads into one write; `Queue.buffer` makes it. Callable from any thread."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._base = gatherer

    new = _like_new(NewTask)


class AsyncBuffer(Awaited):
    """Groups the enqueues of many coroutines into one write; `AsyncQueue.buffer` makes it."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._base = gatherer

    new = _like_new(NewTask)


@scope
def buffer(base: Base, *, max_delay: Duration = 0.005) -> Op[Buffer]:
    """Group the enqueues of many threads into one write: `with queue.buffer() as buffer: buffer.new(tags)`.

    Each `buffer.new` returns or raises for its own task as `new` does, with the same promises. The caller's session
    and the driver's time limits do not apply. The end of the `with` block waits for calls under way; later calls raise
    QueueClosed.

    Args:
        max_delay: the longest time that a write waits for more calls after the write before it has ended. It waits for
            as many as came last time, so a lone caller does not wait.

    Raises:
        ConfigurationError: `max_delay` is no duration.
    """
    opened: Buffer = yield from _opened(base, max_delay, Buffer)
    return opened


@scope
def async_buffer(base: Base, *, max_delay: Duration = 0.005) -> Op[AsyncBuffer]:
    """Group the enqueues of many coroutines: `async with queue.buffer() as buffer: await buffer.new(tags)`.

    Arguments and promises are those of `Queue.buffer`.

    Raises:
        ConfigurationError: `max_delay` is no duration.
    """
    opened: AsyncBuffer = yield from _opened(base, max_delay, AsyncBuffer)
    return opened


def _opened(base: Base, max_delay: Duration, kind: Callable[[Gatherer], Any]) -> Op[Any]:
    checker = Checker()
    delay = checker.duration("max_delay", max_delay)
    checker.finish()
    gatherer = Gatherer(base, (delay or timedelta(0)).total_seconds())
    try:
        opened = kind(gatherer)
        yield Entered(opened)
    except GeneratorExit:
        raise
    except BaseException:
        yield from gatherer.close()
        raise
    yield from gatherer.close()
    return opened
