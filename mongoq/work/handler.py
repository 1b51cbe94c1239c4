"""What a user's handler looks like: `handler(task)` or `handler(attempt, task)`, a function or a coroutine function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mongoq.checks import Checker
from mongoq.model import Task

Function = Callable[..., Any]

THREADS: Final = "threads"
EXECUTORS: Final = (THREADS,)
"""The names of the executors; `work/executor.py` says what each is."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A user's function, and how to call it."""

    function: Function
    takes_attempt: bool

    def __call__(self, task: Task) -> Any:
        """Call it; what it returns, or the coroutine that it is."""
        return self.function(task.attempt, task) if self.takes_attempt else self.function(task)


def checked_handler(function: Any, executor: str | None) -> tuple[Handler, str]:
    """The handler, and the executor that fits it where none is named; ConfigurationError where they do not fit."""
    checker = Checker()
    if executor is not None:
        checker.one_of("executor", executor, EXECUTORS)
    chosen = executor or THREADS
    if not callable(function):
        checker.refuse("handler", function, "a function of the task: handler(task) or handler(attempt, task)")
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        checker.refuse("handler", function, "a plain function: calling a generator function runs nothing of it")
    elif _is_coroutine(function):
        checker.refuse("handler", function, "a plain function: coroutines need an asyncio executor")
    checker.finish()
    return Handler(function, _takes_attempt(function)), chosen


def _takes_attempt(function: Function) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that does not tell
        return False
    if _accepts(signature, 1):
        return False
    if not _accepts(signature, 2):
        checker = Checker()
        shown = f"{function!r} with the parameters {signature}"
        checker.refuse("handler", shown, "handler(task) or handler(attempt, task)")
        checker.finish()
    return True


def _is_coroutine(function: Any) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 -- an instance whose __call__ is a coroutine
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _accepts(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
