"""What a user's handler looks like: `handler(task)` or `handler(attempt, task)`, a function or a coroutine function."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mongoq.core.batching import BatchRule, checked_batch, only, only_awaited
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Checker, Duration
from mongoq.worker.handlers.cores import usable_cores
from mongoq.worker.handlers.lifespan import Lifespan
from mongoq.worker.handlers.middleware import (
    Middleware,
    around,
    around_awaited,
    around_many,
    around_many_awaited,
)

Function = Callable[..., Any]

THREADS: Final = "threads"
ASYNCIO: Final = "asyncio"
PROCESSES: Final = "processes"
IMPORTABLE: Final = f"a function at the top level of a module, for executor={PROCESSES!r}: child processes import it"
EXECUTORS: Final = (THREADS, ASYNCIO, PROCESSES)
"""The names of the executors; `work/executor.py` says what each is."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A user's function, and how to call it."""

    function: Function
    takes_attempt: bool
    middleware: tuple[Middleware, ...] = ()
    """What each call runs inside of; the first is the outermost."""
    lifespan: Lifespan | None = None
    """What all calls share."""
    awaited: bool = False
    """Whether it is a coroutine function."""
    begin: Callable[[Task], object] | None = None
    """What is called before it, in its own context."""
    batch: BatchRule | None = None
    """Where the function takes a list of tasks: how many."""

    def __call__(self, task: Task | list[Task]) -> Any:
        """Call it; what it returns, or the coroutine that it is. For a list of tasks, their outcomes."""
        if isinstance(task, list):
            return self._together(task)
        if self.begin is not None:
            self.begin(task)
        if self.lifespan is not None:
            self.lifespan.show(task.attempt)
        if self.middleware:
            return (around_awaited if self.awaited else around)(self.middleware, self.plain, task)
        return self.plain(task)

    def single(self, task: Task) -> Any:
        """Call it for one task, whether it takes batches or not."""
        if self.rule_of(task) is None:
            return self(task)
        return only_awaited(self._together([task])) if self.awaited else only(self._together([task]))

    def _together(self, tasks: list[Task]) -> Any:
        if self.lifespan is not None:
            for task in tasks:
                self.lifespan.show(task.attempt)
        return (around_many_awaited if self.awaited else around_many)(self.middleware, self.function, tasks)

    @property
    def gathers(self) -> bool:
        """Whether there are tasks that it takes together."""
        return self.batch is not None or bool(self._rules)

    def rule_of(self, task: Task) -> BatchRule | None:
        """How many tasks of this kind it takes together; None where it takes each alone."""
        return self.batch or self._rules.get(task.name)

    @property
    def _rules(self) -> Mapping[str | None, BatchRule]:
        rules: Mapping[str | None, BatchRule] = getattr(self.function, "rules", {})
        return rules

    @property
    def policies(self) -> dict[str, dict[str, Any]]:
        """By the name of a task: the options of its policy that it cannot carry."""
        policies: dict[str, dict[str, Any]] = getattr(self.function, "policies", {})
        return policies

    def plain(self, task: Task) -> Any:
        """Call it outside of its middleware."""
        return self.function(task.attempt, task) if self.takes_attempt else self.function(task)


def checked_handler(
    function: Any, executor: str | None, *, batch: object = None, wait: Duration | None = None
) -> tuple[Handler, str]:
    """The handler, and the executor that fits it where none is named; ConfigurationError where they do not fit."""
    checker = Checker()
    if executor is not None:
        checker.one_of("executor", executor, EXECUTORS)
    chosen = executor or (ASYNCIO if _is_coroutine(function) else THREADS)
    if not callable(function):
        checker.refuse("handler", function, "a function of the task: handler(task) or handler(attempt, task)")
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        checker.refuse("handler", function, "a plain function: calling a generator function runs nothing of it")
    elif _is_coroutine(function) and chosen != ASYNCIO:
        checker.refuse("handler", function, f"a plain function, for executor={chosen!r}: coroutines need {ASYNCIO!r}")
    elif chosen == ASYNCIO and not _is_coroutine(function):
        checker.refuse("handler", function, f"a coroutine function, for executor={ASYNCIO!r}: others need {THREADS!r}")
    elif chosen == PROCESSES and not importable(function):
        checker.refuse("handler", function, IMPORTABLE)
    patched = patched_by()
    if chosen == PROCESSES and patched is not None:
        allowed = f"{THREADS!r} or {ASYNCIO!r} where {patched} has patched the standard library"
        checker.refuse("executor", chosen, allowed)
    taken = checked_batch(checker, batch, wait)
    checker.finish()
    rule = None if taken is None else BatchRule(*taken)
    handler = Handler(function, takes_attempt(function), awaited=chosen == ASYNCIO, batch=rule)
    _check_batches(handler)
    return handler, chosen


def _check_batches(handler: Handler) -> None:
    checker = Checker()
    if handler.batch is not None and hasattr(handler.function, "rules"):
        allowed = "given for handlers of all tasks; task functions have @queue.task(batch=...)"
        checker.refuse("batch", handler.batch.most, allowed)
    elif handler.batch is not None and handler.takes_attempt:
        checker.refuse("handler", handler.function, "handler(tasks), where batch= is given: each task has its attempt")
    checker.finish()


def patched_by() -> str | None:
    """What has replaced the threads or sockets of the standard library in this process: gevent, eventlet or nothing."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and (gevent.is_module_patched("threading") or gevent.is_module_patched("socket")):
        return "gevent"
    if eventlet is not None and (eventlet.is_monkey_patched("thread") or eventlet.is_monkey_patched("socket")):
        return "eventlet"
    return None


def default_workers(executor: str) -> int:
    """How many handlers run at once where nobody says: one per usable CPU core; 100 coroutines, which mostly wait."""
    return 100 if executor == ASYNCIO else usable_cores()


def takes_attempt(function: Function, field: str = "handler") -> bool:
    """Whether it is called with the attempt and the task; ConfigurationError where it takes neither one nor two."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin that does not tell
        return False
    if _accepts(signature, 1):
        return False
    if not _accepts(signature, 2):
        checker = Checker()
        shown = f"{function!r} with the parameters {signature}"
        checker.refuse(field, shown, f"{field}(task) or {field}(attempt, task)")
        checker.finish()
    return True


def _is_coroutine(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    # Of an instance its class's __call__ counts; a class is called to make one.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def importable(function: Any) -> bool:
    """Whether child processes can import it."""
    try:
        pickled = pickle.dumps(function)
    except Exception:  # noqa: BLE001 -- what a callable object holds may raise anything
        return False
    main = sys.modules["__main__"]
    return b"__main__" not in pickled or hasattr(main, "__file__") or main.__spec__ is not None


def _accepts(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
