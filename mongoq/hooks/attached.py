"""The hooks of one queue object."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, overload

from mongoq.core.carried_context import ContextHook, filled
from mongoq.core.events import Telemetry
from mongoq.core.judging.ended import error_of
from mongoq.core.listening.delivery import Listeners, check_listener
from mongoq.core.listening.kinds import QueueEvent, TaskEnded
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.validation import Checker

E = TypeVar("E", bound=QueueEvent)
F = TypeVar("F", bound=Callable[..., object])


class Hooks:
    """What was hung into a queue object."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.on = Listening(telemetry)
        self.middleware: tuple[Callable[..., Any], ...] = ()
        """The first is the outermost."""
        self.lifespan: Callable[[], Any] | None = None
        self.context: ContextHook | None = None
        self.sending: Callable[[NewTask], Mapping[str, Any]] | None = None
        """Tells what one task carries beside that, when it is enqueued: its trace."""
        self.begin: Callable[[Any], object] | None = None
        """Is called with each task in its handler's own context, before the handler; None: nothing is."""
        self._callbacks: dict[str, Callable[..., object]] = {}

    def add_middleware(self, function: F) -> F:
        """Run each attempt inside a generator; ConfigurationError where it is none."""
        checker = Checker()
        if not _is_generator(function):
            checker.refuse(
                "middleware", function, "a generator function, or an async one: it yields where the handler runs"
            )
        checker.finish()
        self.middleware = (*self.middleware, function)
        return function

    def set_context(self, function: F) -> F:
        """Let a function tell what tasks carry; ConfigurationError where it is none, or there is one already."""
        checker = Checker()
        if not callable(function) or inspect.iscoroutinefunction(function):
            checker.refuse("context", function, "a plain function that returns a mapping")
        elif self.context is not None:
            checker.refuse("context", function, f"allowed: this queue has {self.context!r} already")
        checker.finish()
        hook: Any = function
        self.context = hook
        return function

    def fill(self, task: NewTask) -> NewTask:
        """A task that is to be enqueued by the calling thread or coroutine, with what it carries."""
        if self.context is not None:
            task = task.carrying(filled(task.context, self.context))
        return task if self.sending is None else task.carrying({**self.sending(task), **(task.context or {})})

    @property
    def fills(self) -> bool:
        """Whether tasks carry what somebody tells."""
        return self.context is not None or self.sending is not None

    def fill_options(self, options: Mapping[str, Any], tasks: Iterable[Any]) -> Mapping[str, Any]:
        """The options of those among these tasks that are given as tags, with what they carry: all the same."""
        if isinstance(tasks, Collection) and all(isinstance(task, NewTask) for task in tasks):
            return options
        return {**options, "context": self.fill(NewTask(**options)).context}

    def fill_all(self, tasks: Iterable[Any]) -> Iterable[Any]:
        """The same of each NewTask among these; a collection stays one, which is checked as a whole."""
        if not self.fills:
            return tasks
        each = (self.fill(task) if isinstance(task, NewTask) else task for task in tasks)
        return list(each) if isinstance(tasks, Collection) else each

    def fill_change(self, change: Modification) -> Modification:
        """The same of the tasks that an atomic change inserts."""
        return replace(change, insert=tuple(map(self.fill, change.insert))) if self.fills else change

    def call_back(self, callbacks: Mapping[str, Callable[..., object]]) -> None:
        """Tell these functions of the ends of tasks of their names from now on: `callback(task, result, error)`."""
        if callbacks and not self._callbacks:
            self.on(TaskEnded, self._ended)
        self._callbacks |= callbacks

    def _ended(self, event: TaskEnded) -> None:
        callback = self._callbacks.get(event.task.name or "")
        if callback is not None:
            task = event.whole()
            callback(task, event.result, error_of(task))

    def set_lifespan(self, function: F) -> F:
        """Let a generator open what handlers share; ConfigurationError where it is none, or there is one already."""
        checker = Checker()
        if not _is_generator(function):
            checker.refuse("lifespan", function, "a generator function, or an async one: it yields what handlers share")
        elif self.lifespan is not None:
            checker.refuse("lifespan", function, f"allowed: this queue has {self.lifespan!r} already")
        checker.finish()
        self.lifespan = function
        return function


def _is_generator(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


class Listening:
    """Calls listeners for the events of a queue: `queue.on(AttemptFailed, listener)`, or `@queue.on(AttemptFailed)`.

    The events are the classes of `mongoq.events`. Listeners run one after the other in a thread of their own, so a slow
    one holds up no task. ConfigurationError where the kind is no event, or the listener is no plain function.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._listeners: Listeners | None = None

    @overload
    def __call__(self, kind: type[E], listener: Callable[[E], object]) -> Callable[[], None]: ...
    @overload
    def __call__(self, kind: type[E]) -> Callable[[F], F]: ...
    def __call__(self, kind: Any, listener: Any = None) -> Any:
        """Call a listener for each event of a kind; the returned function ends that. Without one, a decorator."""
        if listener is not None:
            return self._add(kind, listener)

        def decorate(function: F) -> F:
            self._add(kind, function)
            return function

        return decorate

    def _add(self, kind: Any, listener: Any) -> Callable[[], None]:
        check_listener(kind, listener)
        if self._listeners is None:
            self._listeners = Listeners()
            self._telemetry.subscribe_quick(self._listeners.note, self._listeners.settle)
        return self._listeners.add(kind, listener)
