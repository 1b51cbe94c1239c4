"""One handler on one task that was made for it, without a queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from mongoq.api.starting import chosen
from mongoq.core.clock import FrozenClock, elapsed
from mongoq.core.host.keys import KeyMaker
from mongoq.core.options import Options, checked_options
from mongoq.core.signals import Interruption
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.functions.function import Function
from mongoq.storage.context import Context
from mongoq.testing.outcome import Ran, ran
from mongoq.testing.tasks import make_task
from mongoq.testing.tempo import Made, awaited_outcome, blocking_outcome
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.handlers.signature import Handler, checked_handler
from mongoq.worker.verdicts import verdict_on

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

Given = Task | NewTask | Mapping[str, Any] | None


class _Claimed:
    """A task that was made, in the place of one that was claimed."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.key = task.key
        self.token = task.token
        self.lost_leases = task.lost_leases
        self.size = 0
        self.unique = task.unique is not None
        self.awaited = task.children
        self.batch = task.batch
        self.slots: tuple[str, ...] = ()
        self.queue, self.name, self.due = task.queue, task.name, task.run_at
        self.starts: tuple[Mapping[str, Any], ...] = ()
        self.attempts = task.attempts

    def read(self) -> Task:
        """A task of its own, as the attempt is written into it."""
        return replace(self._task)


@overload
def perform(handler: Function[P, R, C], /, *args: P.args, **options: P.kwargs) -> Ran: ...
@overload
def perform(
    handler: Callable[..., Any], /, task: Given = None, *, interruption: Interruption | None = None, **options: Any
) -> Ran: ...
def perform(handler: Any, /, *args: Any, **options: Any) -> Ran:
    """Run a handler once on a task, or a task function once with arguments, and judge its end as a worker does.

    Nothing is stored. `perform(welcome, 42, template="gold")` calls a task function by way of what would be stored;
    `perform(welcome, welcome.call(42), interruption=...)` takes the options below.

    Args:
        handler: `handler(task)` or `handler(attempt, task)`; a coroutine function is run to its end.
        task: its tags, a `NewTask` (with the options it carries), or what `make_task` made. Default: no tags.
        interruption: why the handler is to stop, told from its beginning: `Interruption.CANCEL`.
        options: fields of `make_task`, where `task` is not one already.

    Returns what it returned or raised, and what a worker would make of the task.
    """
    attempt, checked = _prepared(handler, *_given(handler, args, options))
    with closing(asyncio.Runner()) as runner:
        return _judged(checked, attempt, blocking_outcome(partial(checked.single, attempt.task), runner))


@overload
async def perform_async(handler: Function[P, R, C], /, *args: P.args, **options: P.kwargs) -> Ran: ...
@overload
async def perform_async(
    handler: Callable[..., Any], /, task: Given = None, *, interruption: Interruption | None = None, **options: Any
) -> Ran: ...
async def perform_async(handler: Any, /, *args: Any, **options: Any) -> Ran:
    """`perform`, on the loop of who awaits it."""
    attempt, checked = _prepared(handler, *_given(handler, args, options))
    return _judged(checked, attempt, await awaited_outcome(partial(checked.single, attempt.task)))


def _given(
    handler: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Given, Interruption | None, dict[str, Any]]:
    """The task that a handler is to run on, its interruption and the fields of the task."""
    if isinstance(handler, Function) and not (len(args) == 1 and isinstance(args[0], NewTask | Task)):
        return handler.call(*args, **options), None, {}
    return _of_task(*args, **options)


def _of_task(
    task: Given = None, *, interruption: Interruption | None = None, **options: Any
) -> tuple[Given, Interruption | None, dict[str, Any]]:
    return task, interruption, options


def _prepared(
    function: Callable[..., Any], given: Given, interruption: Interruption | None, options: Mapping[str, Any]
) -> tuple[LiveAttempt, Handler]:
    function, _ = chosen((), function, None)
    handler, _ = checked_handler(function, None)
    task = given if isinstance(given, Task) else _made(given, options)
    policy = _options().policy.over(task.policy).over(handler.policies.get(task.name or "", {}))
    attempt = LiveAttempt(_Claimed(task), policy, elapsed())
    attempt.start()
    if interruption is not None:
        attempt.interrupt(interruption)
    return attempt, handler


def _made(given: NewTask | Mapping[str, Any] | None, options: Mapping[str, Any]) -> Task:
    if not isinstance(given, NewTask):
        return make_task(given, **options)
    told = {"key": given.key or "task-1", "queue": given.queue, "priority": given.priority, "payload": given.payload}
    told["name"] = given.name
    told |= {"unique": given.unique, "expires_at": given.expires_at, "policy": given.carried, "context": given.context}
    return make_task(given.tags, **{**told, **options})


def _judged(handler: Handler, attempt: LiveAttempt, ending: Made) -> Ran:
    clock = FrozenClock(attempt.task.read_at)
    context = Context(clock, _options(), KeyMaker())
    return ran(handler, attempt.task, ending, verdict_on(context, attempt, ending, attempt.task.worker or ""))


def _options() -> Options:
    return checked_options(namespace="test", max_age=None, workers=1, grace=0, max_task_bytes=2**20, policy={})
