"""`@queue.cron`: a task function that is enqueued by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any, Generic, TypeVar, Unpack

from mongoq.core.errors import ConfigurationError, Fault, InvalidTask
from mongoq.core.validation import UNSET, Duration, Unset
from mongoq.functions.decorator import Decorator
from mongoq.functions.options import FunctionOptions, checked_names
from mongoq.functions.registry import Registry
from mongoq.scheduling.given import Given

D = TypeVar("D", bound=Decorator)


class Cron(Generic[D]):
    """Enqueue a call of a function at each tick: `@queue.cron("*/5 * * * *", tz="Europe/Zurich")`.

    The function becomes a task function, or is one already by a `@queue.task(...)` below. It is called without
    arguments. The schedule has its name and is written when a worker of the queue starts. Edits of the schedule stay
    until the definition in the code changes, and so does a deletion; a pause stays until it is resumed.
    """

    def __init__(self, registry: Registry, kind: type[D]) -> None:
        self._registry = registry
        self._kind = kind

    def __call__(
        self,
        cron: str | None = None,
        *,
        tz: str | tzinfo | Unset = UNSET,
        every: Duration | None = None,
        catch_up: str | Duration | Unset = UNSET,
        jitter: Duration | Unset = UNSET,
        overlap: str | None = None,
        name: str | None = None,
        aliases: Sequence[str] = (),
        revision: int | None = None,
        **options: Unpack[FunctionOptions],
    ) -> D:
        """Make a decorator. The timing is that of `queue.schedule`, the others are the options of `queue.task`.

        Raises ConfigurationError where something is not acceptable, or the function has an argument without a default.
        """
        timing = {"cron": cron, "tz": tz, "every": every, "catch_up": catch_up, "jitter": jitter, "overlap": overlap}
        settings = _settings(name, aliases, revision, options)

        def made(function: Any, new: Callable[[Any], Any]) -> Any:
            ticking = _known(function, settings) or new(function)
            _declare(self._registry, ticking, timing)
            return ticking

        return self._kind(self._registry, settings, made)


def _settings(name: str | None, aliases: Sequence[str], revision: int | None, options: Any) -> dict[str, Any]:
    checked_names(options, "cron()")
    return {"name": name, "aliases": tuple(aliases), "revision": revision, "options": {**options}}


def _known(function: Any, settings: dict[str, Any]) -> Any:
    """The task function that was decorated already; None where it is a plain one."""
    if function is None:
        raise TypeError("what cron() returns decorates a function: give the options of its tasks to cron() itself")
    if not hasattr(function, "definition"):
        return None
    both = {**settings, **settings["options"], "options": None}
    if given := [option for option, value in both.items() if value]:
        allowed = "an option of cron() above @queue.task: give it to task()"
        raise ConfigurationError([Fault(given[0], function.definition.where, allowed)])
    return function


def _declare(registry: Registry, made: Any, timing: dict[str, Any]) -> None:
    try:
        task = made.call()
    except InvalidTask as error:
        allowed = f"a function that can be called without arguments: {error}"
        raise ConfigurationError([Fault("function", made.definition.where, allowed)]) from error
    given = Given(made.definition.signature.name, task=task, **timing).checked()
    given.complete()
    registry.declare(given)
