"""What is enqueued, asserted; where it is not so, the message shows what is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeVar, overload

from mongoq.api.base import Base
from mongoq.api.verb import Awaited, Blocking
from mongoq.core.choosing.selection import checked_selection
from mongoq.core.lifecycle import FINISHED
from mongoq.core.tasks.task import Task
from mongoq.core.validation import shortened
from mongoq.functions.function import AsyncTaskFunction, Function, TaskFunction
from mongoq.storage.commands import Op
from mongoq.storage.operations import queries
from mongoq.storage.operations.looking.selecting import selected
from mongoq.testing.tempo import helper

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Where = Mapping[str, Any] | None

SHOWN: Final = 20
"""So many of the tasks that are enqueued are shown."""


class Wanted(NamedTuple):
    """Which tasks are asked for, and how many."""

    queue: str | None = None
    where: Where = None
    number: int | None = None
    name: str | None = None


class Assertion(Protocol[T_co]):
    """An assertion of the tasks of a queue, or of the calls of a task function in its queue."""

    @overload
    def __call__(self, of: TaskFunction[..., Any, Any], /, **arguments: Any) -> T_co: ...
    @overload
    def __call__(self, of: AsyncTaskFunction[..., Any, Any], /, **arguments: Any) -> Coroutine[Any, Any, T_co]: ...
    @overload
    def __call__(
        self, of: Blocking, /, queue: str | None = None, where: Where = None, *, count: int | None = None
    ) -> T_co: ...
    @overload
    def __call__(
        self, of: Awaited, /, queue: str | None = None, where: Where = None, *, count: int | None = None
    ) -> Coroutine[Any, Any, T_co]: ...
    def __call__(self, of: Any, /, *args: Any, **options: Any) -> Any:
        """What it returns, or what brings that when awaited."""


def assertion(check: Callable[[Base, Wanted], Op[T]]) -> Assertion[T]:
    """Declare an assertion, of both tempos."""
    checked = helper(check)

    @functools.wraps(check)
    def call(of: Any, /, *args: Any, **options: Any) -> Any:
        if isinstance(of, Function):
            return checked(of.queue, Wanted(where=of.definition.signature.partial_tags(options), name=of.name))
        return checked(of, _asked(*args, **options))

    return call


def _asked(queue: str | None = None, where: Where = None, *, count: int | None = None) -> Wanted:
    return Wanted(queue, where, count)


@assertion
def assert_enqueued(base: Base, wanted: Wanted) -> Op[list[Task]]:
    """Assert that unfinished tasks are there; they are returned, by key.

    Of a task function, `assert_enqueued(welcome, user=42)`: its calls with these arguments. Of a queue,
    `assert_enqueued(queue, "mail", {"user": 42})`: of this queue and with these tags, which are asked for by equality,
    as in `run(where=)`; a task may have further ones. `count` says how many there must be; default: at least one.
    """
    found = yield from _unfinished(base, wanted)
    number = "at least 1" if wanted.number is None else str(wanted.number)
    if (len(found) != wanted.number) if wanted.number is not None else not found:
        everything = yield from _unfinished(base, Wanted())
        raise AssertionError(f"{number} of {_named(wanted)} wanted, {len(found)} enqueued{_shown(everything)}")
    return found


@assertion
def refute_enqueued(base: Base, wanted: Wanted) -> Op[None]:
    """Assert that no unfinished task is there, of this queue and with these tags, or no such call of a function."""
    found = yield from _unfinished(base, wanted)
    if found:
        raise AssertionError(f"none of {_named(wanted)} wanted, {len(found)} enqueued{_shown(found)}")


def _unfinished(base: Base, wanted: Wanted) -> Op[list[Task]]:
    chosen = selected(checked_selection(queue=wanted.queue, where=wanted.where, name=wanted.name))
    found: list[Task] = yield from base.read(queries.tasks(base.context, chosen, claimant=None, limit=0))
    return [task for task in found if task.state not in FINISHED]


def _named(wanted: Wanted) -> str:
    where = dict(wanted.where or {})
    if wanted.name is not None:
        return f"{wanted.name}({', '.join(f'{name}={value!r}' for name, value in where.items())})"
    return f"{f'queue {wanted.queue!r}' if wanted.queue else 'any queue'}{f' with {where!r}' if where else ''}"


def _shown(tasks: list[Task]) -> str:
    if not tasks:
        return "; nothing is enqueued"
    lines = [
        f"\n  {task.queue}: {f'{task.name} ' if task.name else ''}{shortened(dict(task.tags))}, {task.state}"
        for task in tasks[:SHOWN]
    ]
    more = f"\n  and {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else ""
    return f"; enqueued are:{''.join(lines)}{more}"
