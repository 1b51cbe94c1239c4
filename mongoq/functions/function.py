"""Task functions, as a user has them in hand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack

from mongoq.core.batching import only, only_awaited, outcomes_of
from mongoq.core.judging.verdict import Outcome
from mongoq.core.tasks.alike import with_tags
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Attempt
from mongoq.functions.definition import Definition
from mongoq.functions.handle import AsyncTaskHandle, TaskHandle
from mongoq.functions.idle import IDLE
from mongoq.functions.options import TaskOptions, checked_names, merged
from mongoq.functions.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")


class Function(Generic[P, R, C]):
    """A function whose calls can be enqueued: `P` are its arguments, `R` its result, `C` what a plain call returns."""

    def __init__(self, definition: Definition, registry: Registry, options: Mapping[str, Any] | None = None) -> None:
        self.definition = definition
        """Its names, options and signature."""
        self._registry = registry
        self._options = definition.options if options is None else options
        self._model = definition.model if options is None else definition.model_with(options)
        self.fn: Callable[..., C] = definition.function
        """The function as it was written, with what the worker passes to it."""
        update_wrapper(self, definition.function)

    @property
    def name(self) -> str:
        """The name of its tasks."""
        return self.definition.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the plain function directly; one that takes an `Attempt` gets one that never asks it to stop."""
        if self.definition.rule is not None:
            alone: C = self._alone(args, kwargs)
            return alone
        injected = self.definition.signature.injected
        if injected is None:
            return self.fn(*args, **kwargs)
        return self.fn(self._idle(), *args, **kwargs)

    def _alone(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a batch function for one call."""
        lists = [[one] for one in args]
        first = [] if self.definition.signature.injected is None else [[self._idle()]]
        returned: Any = self.fn(*first, *lists, **{name: [one] for name, one in kwargs.items()})
        return only_awaited(returned, self._parted) if self.definition.awaited else only(self._parted(returned))

    def _parted(self, value: Any) -> list[Outcome]:
        return outcomes_of(value, 1, self.name)

    def _idle(self) -> Any:
        if self.definition.signature.injected is not Attempt:
            raise TypeError(f"{self.name} takes its Task: call {self.name}.fn(task, ...), or use testing.perform")
        return IDLE

    def call(self, *args: P.args, **kwargs: P.kwargs) -> NewTask:
        """Make a task of a call without enqueueing it: for `new_many`, follow-ups and `modify(insert=[...])`.

        Raises:
            InvalidTask: an argument is missing, unknown or of the wrong type; it lists all of them.
        """
        return with_tags(self._model, self.definition.signature.tags(args, kwargs))

    def options(self, **options: Unpack[TaskOptions]) -> Self:
        """The same function with other options for its calls: `welcome.options(priority=9).new(42)`."""
        checked_names(options, f"{self.name}.options()")
        return type(self)(self.definition, self._registry, merged(self._options, options))

    @property
    def queue(self) -> Any:
        """The queue that its calls go to; ConfigurationError where no queue has included its `Tasks`."""
        bound: Any = self._registry.bound_to(self.definition)
        return bound.queue

    def __repr__(self) -> str:
        return f"<task function {self.definition.told}>"

    def __reduce__(self) -> str:
        # By reference, as functions are: a child process imports the module and finds the same function there.
        return self.definition.function.__qualname__


class TaskFunction(Function[P, R, C]):
    """A function made by `@queue.task`: `new` enqueues a call, `call` makes a task of it, `fn` is the function.

    A plain call runs the function directly, for unit tests.
    """

    def new(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Enqueue a call and return a handle of its task.

        Raises:
            InvalidTask: an argument is missing, unknown or of the wrong type; it lists all of them, and nothing was
                written.
            ConfigurationError: no queue has included the function's `Tasks`.
            DuplicateTask, QueueFull, BatchFinished: as from `queue.new`.
        """
        handle: TaskHandle[R] = self._registry.enqueue(self.definition, self.call(*args, **kwargs))
        return handle


class AsyncTaskFunction(Function[P, R, C]):
    """`TaskFunction` of an `AsyncQueue`: `await welcome.new(42)`."""

    def new(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, AsyncTaskHandle[R]]:
        """Enqueue a call and return a handle of its task, when awaited; see `TaskFunction.new`."""
        made: Coroutine[Any, Any, AsyncTaskHandle[R]]
        made = self._registry.enqueue(self.definition, self.call(*args, **kwargs))
        return made
