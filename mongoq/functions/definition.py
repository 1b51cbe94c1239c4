"""A function with its names and options, and how a worker runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mongoq.core.batching import BatchRule, checked_batch, outcomes_of
from mongoq.core.errors import InvalidTask
from mongoq.core.judging.policy import carried_of, checked_policy
from mongoq.core.judging.verdict import Outcome, Raised
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Attempt, Task
from mongoq.core.validation import TASK_NAME, Checker, Duration
from mongoq.functions.signature import Signature

LOCAL: Final = ("backoff", "retry_on", "no_retry_on")
"""The options that may be functions."""


def _is_plain(on_complete: Any) -> bool:
    return callable(on_complete) and not hasattr(on_complete, "definition") and not isinstance(on_complete, type)


class Definition:
    """A task function as it was defined."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: Mapping[str, Any],
        *,
        name: str | None = None,
        aliases: tuple[str, ...] = (),
        revision: int | None = None,
        secret: Any = (),
        batch: Any = None,
        wait: Duration | None = None,
    ) -> None:
        checker = Checker()
        taken = checked_batch(checker, batch, wait)
        if not callable(function) or isinstance(function, type):
            checker.refuse("function", function, "a function or a coroutine function")
        elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            checker.refuse("function", function, "a plain function: calling a generator function runs nothing of it")
        own = getattr(function, "__name__", None) if name is None else name
        for field, one in (("name", own), *(("aliases", alias) for alias in aliases)):
            checker.matching(field, one, TASK_NAME)
        if revision is not None:
            checker.integer("revision", revision, 1, 10**9)
        callback = options.get("on_complete")
        if inspect.iscoroutinefunction(callback):
            checker.refuse("on_complete", callback, "a plain function, or a task function that is enqueued at the end")
        checker.finish()
        self.function = function
        self.options = dict(options)
        self.local = self._taken_out()
        """The options of its policy that no task can carry: predicates, and a function as backoff."""
        self.on_complete: Any = None
        """A function that is told of the end of each task, in the process that writes it."""
        if _is_plain(self.options.get("on_complete")):
            self.on_complete = self.options.pop("on_complete")
        suffix = "" if revision is None else f"@{revision}"
        self.names = tuple(f"{one}{suffix}" for one in (own, *aliases))
        """The names of the tasks that it runs; its own first."""
        self.awaited = inspect.iscoroutinefunction(function)
        self.rule = None if taken is None else BatchRule(*taken, self.names)
        """How many calls it takes together; None: one at a time."""
        self.signature = Signature(function, str(own), lists=self.rule is not None)
        parameters = self.signature.parameters
        self._exact = [(one.name, one.conversion.exact) for one in parameters]
        # No call has -1 arguments: some must be given by their place.
        self._count = len(parameters) if all(one.by_name for one in parameters) else -1
        self.secret = self._checked_secret(secret)
        """The arguments that are stored encrypted."""
        self.model = self.model_with(self.options)
        """A call without its arguments."""

    def _taken_out(self) -> dict[str, Any]:
        given: dict[str, Any] = {name: self.options[name] for name in LOCAL if name in self.options}
        checker = Checker()
        checked = checked_policy(checker, given)
        checker.finish()
        local = {name: value for name, value in checked.items() if name not in carried_of(checked)}
        for name in local:
            del self.options[name]
        return local

    @property
    def name(self) -> str:
        """The name of its tasks."""
        return self.names[0]

    @property
    def queue(self) -> str:
        """The queue of its tasks, where a call says nothing else."""
        queue: str = self.options.get("queue", "default")
        return queue

    def _checked_secret(self, secret: Any) -> frozenset[str]:
        checker = Checker()
        given = list(inspect.signature(self.function).parameters)
        names = None if isinstance(secret, str) or not isinstance(secret, Iterable) else list(secret)
        if names is None or any(name not in given for name in names):
            checker.refuse("secret", secret, f"a list of arguments of {self.name} ({', '.join(given)})")
        checker.finish()
        return frozenset(names or ())

    def model_with(self, options: Mapping[str, Any]) -> NewTask:
        """A call with these options and without its arguments; InvalidTask where an option is not acceptable."""
        return NewTask(name=self.name, **options)

    @property
    def told(self) -> str:
        """Its name and its signature."""
        return f"{self.name}{inspect.signature(self.function)}"

    @property
    def where(self) -> str:
        """Which function it is, for an error."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def _is_call(self, tags: Mapping[str, Any]) -> bool:
        """Whether tags are the arguments as they stand, all of them: 0.4 µs for two instead of 1.1."""
        if len(tags) != self._count:
            return False
        for name, exact in self._exact:  # noqa: SIM110 -- a generator takes twice as long
            if type(tags.get(name)) is not exact:
                return False
        return True

    def call(self, task: Task) -> Any:
        """Call the function for a task; what it returns, or the coroutine that it is."""
        tags = task.tags
        positional, named = ((), tags) if self._is_call(tags) else self.signature.arguments(tags)
        injected = self.signature.injected
        if injected is None:
            return self.function(*positional, **named)
        return self.function(task.attempt if injected is Attempt else task, *positional, **named)

    def calls(self, tasks: list[Task]) -> Calls:
        """The call of a batch function for several tasks."""
        return Calls(self, tasks)


class Calls:
    """One call of a batch function for several tasks: a list for each of its parameters."""

    def __init__(self, definition: Definition, tasks: list[Task]) -> None:
        self.definition = definition
        self._unfit: dict[int, InvalidTask] = {}
        """By place: tasks whose tags are no call; the function does not get them."""
        self._tasks: list[Task] = []
        self._rows: list[list[Any]] = []
        self._count = len(tasks)
        for place, task in enumerate(tasks):
            try:
                positional, named = definition.signature.arguments(task.tags)
            except InvalidTask as error:
                self._unfit[place] = error
            else:
                self._tasks.append(task)
                self._rows.append([*positional, *named.values()])

    def make(self) -> Any:
        """Call the function; what it returns, or the coroutine that it is."""
        if not self._rows:
            return _nothing() if self.definition.awaited else None
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        injected = self.definition.signature.injected
        first = [] if injected is None else [[one.attempt if injected is Attempt else one for one in self._tasks]]
        return self.definition.function(*first, *columns)

    def outcomes(self, returned: Any) -> list[Outcome]:
        """What each task came to."""
        outcomes = iter(outcomes_of(returned, len(self._tasks), self.definition.name))
        unfit = self._unfit
        return [Raised(unfit[place]) if place in unfit else next(outcomes) for place in range(self._count)]


async def _nothing() -> None:
    """Nothing is called: no task of a batch fits the function."""
