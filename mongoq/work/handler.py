"""What a user's handler looks like: `handler(task)` or `handler(attempt, task)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mongoq.checks import Checker
from mongoq.model import Task

Handler = Callable[..., Any]
Call = Callable[[Task], Any]


def checked_handler(handler: Any) -> Call:
    """`handler` as a function of the task alone; ConfigurationError where it cannot be called so."""
    checker = Checker()
    if not callable(handler):
        checker.refuse("handler", handler, "a function of the task: handler(task) or handler(attempt, task)")
    elif inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        checker.refuse("handler", handler, "a plain function: calling a generator function runs nothing of it")
    elif _is_coroutine(handler):
        checker.refuse(
            "handler", handler, "a plain function: coroutines need an asyncio executor, which is not here yet"
        )
    checker.finish()
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # a builtin that does not tell
        return handler  # type: ignore[no-any-return]
    if _accepts(signature, 1):
        return handler  # type: ignore[no-any-return]
    if _accepts(signature, 2):
        return lambda task: handler(task.attempt, task)
    checker.refuse("handler", f"{handler!r} with the parameters {signature}", "handler(task) or handler(attempt, task)")
    checker.finish()
    raise AssertionError("unreachable")


def _is_coroutine(handler: Any) -> bool:
    call = getattr(handler, "__call__", None)  # noqa: B004 -- an instance whose __call__ is a coroutine
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _accepts(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
