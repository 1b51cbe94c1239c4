"""`@shared_task`, and the task that it makes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NoReturn, overload

from mongoq import ConfigurationError, Fault, Queue
from mongoq.contrib.celery import mapping
from mongoq.contrib.celery.options import checked_task, task_options
from mongoq.contrib.celery.rates import limit_of_rate, with_own
from mongoq.contrib.celery.registered import current_queue, functions
from mongoq.contrib.celery.results import AsyncResult
from mongoq.contrib.celery.running import CURRENT, Request, handler_of, retry
from mongoq.contrib.celery.signatures import Signature
from mongoq.functions.definition import Definition
from mongoq.functions.function import TaskFunction

__all__ = ["CeleryTask", "shared_task"]

MISSING: Final[Mapping[str, str]] = {
    "apply": "the task itself, called as a function",
    "replace": "`return Done(then=[...])` of a task function of mongoq",
    "add_to_chord": "members that add members to a batch",
    "update_state": "`self.request.attempt.progress(0.4, 'rendering')`",
    "send_event": "`queue.on(...)`",
    "app": "the queue",
    "backend": "the queue",
}
"""What there is in place of an attribute of Celery's tasks."""


class _Inner(TaskFunction[..., Any, Any]):
    """mongoq's task function behind a task; a child process finds it by that one's name."""

    owner: CeleryTask

    def __reduce__(self) -> Any:
        return _inner_of, (self.fn.__module__, self.fn.__qualname__)


def _inner_of(module: str, name: str) -> _Inner:
    """What `_Inner` is pickled as. The module of a Django project wants Django to be set up, as in its worker."""
    if "DJANGO_SETTINGS_MODULE" in os.environ and find_spec("django") is not None:
        import django  # noqa: PLC0415 -- where it is there
        from django.apps import apps  # noqa: PLC0415 -- as above

        if not apps.ready:
            django.setup()
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found.inner  # type: ignore[no-any-return]


class CeleryTask:
    """A task: `add.delay(2, 3)`, `add.apply_async((2, 3), countdown=60)`, `add.s(2, 3)`; `add(2, 3)` runs it here."""

    def __init__(self, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        name = settings.get("name") or f"{function.__module__}.{function.__name__}"
        checked_task(name, settings)
        if inspect.iscoroutinefunction(function):
            allowed = "a plain function, as Celery runs; @tasks.task of mongoq.AsyncTasks runs coroutines"
            raise ConfigurationError([Fault(f"@shared_task of {name}", repr(function), allowed)])
        self.name: str = name
        self.function = function
        self.settings = settings
        self.bound = bool(settings.get("bind"))
        self.rate = limit_of_rate(name, settings.get("rate_limit"))
        update_wrapper(self, function)
        handler = update_wrapper(handler_of(self), function, assigned=("__module__", "__qualname__"), updated=())
        del handler.__wrapped__  # its own parameters are those of the stored call
        options = task_options(settings)
        if self.rate is not None:
            options["limits"] = with_own(settings.get("limits"), self.rate)
        self.inner = _Inner(Definition(handler, options, name=name), functions)
        self.inner.owner = self
        functions.add(self.inner)
        if self.rate is not None:
            functions.declare_limit(self.rate)

    @property
    def max_retries(self) -> int | None:
        """How many retries it has; None: any number."""
        most: int | None = self.settings.get("max_retries", 3)
        return most

    @property
    def default_retry_delay(self) -> float:
        """Seconds before a retry that names no delay."""
        delay: float = self.settings.get("default_retry_delay", 180)
        return delay

    @property
    def request(self) -> Request:
        """The call that runs; `called_directly` where none does."""
        return CURRENT.get() or Request()

    @property
    def queue(self) -> Queue:
        """The queue that its calls go to."""
        return current_queue()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself."""
        return self.function(self, *args, **kwargs) if self.bound else self.function(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now; its `self.request` is one of its own, as in Celery, so it does not retry."""
        around = CURRENT.get()
        own = Request(args=[*args], kwargs=kwargs, attempt=None if around is None else around.attempt)
        token = CURRENT.set(own)
        try:
            return self.run(*args, **kwargs)
        finally:
            CURRENT.reset(token)

    def retry(self, *args: Any, **options: Any) -> NoReturn:
        """Run the task again: `raise self.retry(exc=error, countdown=30)`."""
        retry(self, *args, **options)

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Enqueue a call."""
        made: AsyncResult = self.apply_async(args, kwargs)
        return made

    def apply_async(self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any) -> Any:
        """Enqueue a call with options; TypeError where the arguments do not fit the function."""
        if self.settings.get("typing", True):
            given = ((None,) if self.bound else ()) + tuple(args or ())
            inspect.signature(self.function).bind(*given, **(kwargs or {}))
        if task_id is not None:
            options["task_id"] = task_id
        return self.signature(args, kwargs).apply_async(**options)

    def signature(self, args: Any = None, kwargs: Any = None, *, immutable: bool = False, **options: Any) -> Signature:
        """A call that is yet to be made, to be linked with others."""
        return Signature(self.name, args, kwargs, options, immutable=immutable)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """The signature of a call; one of a chain gets the result before it as its first argument."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """The signature of a call that takes nothing from what is before it."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Iterable[Any]) -> Signature:
        """One call that runs the task with each of these values, one after the other; its result is their list."""
        return mapping.xmap(self.s(), it)

    def starmap(self, it: Iterable[Iterable[Any]]) -> Signature:
        """The same, where each value is the arguments of one run."""
        return mapping.xstarmap(self.s(), it)

    def chunks(self, it: Iterable[Iterable[Any]], n: int) -> mapping.Chunks:
        """A group of such calls, each of `n` of the arguments."""
        return mapping.chunks(self.s(), it, n)

    def AsyncResult(self, task_id: str) -> AsyncResult:  # noqa: N802 -- Celery's own name
        """The result of a call of this id."""
        return AsyncResult(task_id)

    def __getattr__(self, name: str) -> Any:
        instead = f": use {MISSING[name]}" if name in MISSING else ""
        raise AttributeError(f"mongoq.contrib.celery has no Task.{name}{instead}")

    def __repr__(self) -> str:
        return f"<@shared_task {self.name}>"

    def __reduce__(self) -> str:
        return self.function.__qualname__


@overload
def shared_task(function: Callable[..., Any], /) -> CeleryTask: ...
@overload
def shared_task(**options: Any) -> Callable[[Callable[..., Any]], CeleryTask]: ...
def shared_task(*args: Any, **options: Any) -> Any:
    """Make a task of a function: `@shared_task`, or with Celery's options `@shared_task(bind=True, max_retries=5)`.

    Raises ConfigurationError where an option cannot be what it is in Celery, with what to do instead.
    """
    if len(args) == 1 and callable(args[0]):
        return CeleryTask(args[0], options)
    if args:
        raise TypeError("@shared_task takes its options by name")
    return lambda function: CeleryTask(function, options)
