"""Which functions there are, by name, and where their calls go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.tasks.new_task import NewTask
from mongoq.functions.definition import Definition
from mongoq.limiting.limit import Limit
from mongoq.scheduling.given import Given

Enqueue = Callable[[Definition, NewTask], Any]
"""Enqueues a call: a handle of its task, or what brings one when it is awaited."""


class Registry:
    """The functions of a queue or of a module. It sees those of the registries that it includes, also later ones."""

    def __init__(self, enqueue: Enqueue | None = None) -> None:
        self._own: dict[str, Any] = {}
        self._included: list[Registry] = []
        self._schedules: dict[str, Given] = {}
        self._limits: dict[str, Limit] = {}
        self._bound: list[Enqueue] = [] if enqueue is None else [enqueue]

    def add(self, function: Any) -> None:
        """Add a task function; ConfigurationError where one of its names is taken."""
        known = self.by_name()
        for name in function.definition.names:
            self._check_free(name, known, function)
        for name in function.definition.names:
            self._own[name] = function

    def declare(self, given: Given) -> None:
        """Add the schedule of a function; ConfigurationError where one of this name is declared already."""
        if given.name in self.schedules():
            allowed = "declared once: make further schedules of a function by queue.schedule(...)"
            raise ConfigurationError([Fault("cron", f"a second schedule {given.name!r}", allowed)])
        self._schedules[given.name] = given

    def schedules(self) -> dict[str, Given]:
        """What `@queue.cron` declares, by name."""
        found = dict(self._schedules)
        for other in self._included:
            found |= other.schedules()
        return found

    def declare_limit(self, limit: Limit) -> None:
        """Add a limit that the functions bring along: a worker makes it when it starts."""
        self._limits[limit.name] = limit

    def limits(self) -> dict[str, Limit]:
        """The limits that the functions bring along, by name."""
        found = dict(self._limits)
        for other in self._included:
            found |= other.limits()
        return found

    def include(self, other: Registry) -> None:
        """See the functions of another registry from now on; their calls go to the queue of this one."""
        if other is self or other in self._included:
            return
        known = self.by_name()
        for name, function in other.by_name().items():
            self._check_free(name, known, function)
        self._included.append(other)
        for enqueue in self._bound:
            other.bind(enqueue)

    def bind(self, enqueue: Enqueue) -> None:
        """Send calls there from now on, until it is unbound."""
        self._bound.append(enqueue)
        for other in self._included:
            other.bind(enqueue)

    def release(self) -> None:
        """Send the calls of what is included where they went before: this one's queue was closed."""
        for enqueue in self._bound:
            for other in self._included:
                other.unbind(enqueue)

    def unbind(self, enqueue: Enqueue) -> None:
        """Send calls where they went before this was bound."""
        if enqueue in self._bound:
            self._bound.remove(enqueue)
        for other in self._included:
            other.unbind(enqueue)

    def by_name(self) -> dict[str, Any]:
        """Every function by each of its names."""
        found = dict(self._own)
        for other in self._included:
            found |= other.by_name()
        return found

    def secret_tags(self) -> set[str]:
        """The arguments that functions mark as secret."""
        return {name for function in self for name in function.definition.secret}

    def check_secrets(self, *, sealed: bool) -> None:
        """ConfigurationError where a function has secrets and its queue does not encrypt them."""
        if not sealed and (secret := self.secret_tags()):
            allowed = "possible on a queue without codec=, which encrypts them"
            raise ConfigurationError([Fault("secret", ", ".join(sorted(secret)), allowed)])

    def __iter__(self) -> Iterator[Any]:
        """Every function once."""
        return iter(dict.fromkeys(self.by_name().values()))

    def enqueue(self, definition: Definition, task: NewTask) -> Any:
        """Enqueue a call; ConfigurationError where no queue has included these functions."""
        return self.bound_to(definition)(definition, task)

    @property
    def bound(self) -> bool:
        """Whether calls go anywhere."""
        return bool(self._bound)

    def bound_to(self, definition: Definition) -> Enqueue:
        """Where calls go; ConfigurationError where no queue has included these functions."""
        if not self._bound:
            allowed = "bound to a queue: call queue.include(tasks) first, or enqueue its call by queue.new(...)"
            raise ConfigurationError([Fault(definition.name, "a function of Tasks that no queue includes", allowed)])
        return self._bound[-1]

    def _check_free(self, name: str, known: dict[str, Any], function: Any) -> None:
        other = known.get(name)
        if other is not None and other is not function:
            taken = f"the name of {function.definition.where}"
            allowed = f"free: {other.definition.where} has it. Give one of them another, by name="
            raise ConfigurationError([Fault("name", f"{name!r}, {taken}", allowed)])
