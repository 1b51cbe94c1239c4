"""Run one task of Celery's: what it is given, how it retries, and what `self.request` tells."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final, NoReturn

from mongoq import Attempt, ConfigurationError, Fault, Retry, Signal, Task, TaskState
from mongoq.contrib.celery.errors import MaxRetriesExceededError
from mongoq.contrib.celery.options import seconds
from mongoq.core.judging.ended import error_of

if TYPE_CHECKING:
    from mongoq.contrib.celery.shared import CeleryTask

__all__ = ["CURRENT", "Request", "handler_of", "retry"]

ONE, ALL, ERROR = "one", "all", "error"
"""What a task gets of those before it: the result of the one, the list of the results of all, or the error of one."""


@dataclass(frozen=True, slots=True)
class Request:
    """`self.request`: the call that runs."""

    id: str | None = None
    task: str | None = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    """How many retries came before this attempt."""
    hostname: str | None = None
    """The worker: `host:pid:random`."""
    parent_id: str | None = None
    expires: datetime | None = None
    delivery_info: Mapping[str, Any] = field(default_factory=dict)
    called_directly: bool = True
    attempt: Attempt | None = None
    """mongoq's live attempt: `attempt.progress(0.4, "rendering")`."""

    @property
    def correlation_id(self) -> str | None:
        """Its id."""
        return self.id

    @classmethod
    def of(cls, task: Task) -> Request:
        """The request of a task of mongoq."""
        return cls(
            id=task.key,
            task=task.name,
            args=list(task.tags.get("args", ())),
            kwargs=dict(task.tags.get("kwargs", {})),
            retries=task.retries,
            hostname=task.worker,
            parent_id=next(iter(task.parents), None),
            expires=task.expires_at,
            delivery_info={"routing_key": task.queue, "priority": task.priority, "redelivered": task.attempts > 1},
            called_directly=False,
            attempt=task.attempt,
        )


CURRENT: Final[ContextVar[Request | None]] = ContextVar("mongoq.contrib.celery.request", default=None)


def handler_of(task: CeleryTask) -> Callable[..., Any]:
    """The function that mongoq's worker calls for a task."""

    def run(mine: Task, args: list[Any], kwargs: dict[str, Any], chained: str = "") -> Any:
        given = _given(task, mine, chained)
        if given is None:
            return None
        token = CURRENT.set(Request.of(mine))
        try:
            result = _tried(task, [*given, *args], kwargs)
        finally:
            CURRENT.reset(token)
        return None if task.settings.get("ignore_result") and not mine.children else result

    return run


def _given(task: CeleryTask, mine: Task, chained: str) -> list[Any] | None:
    """The arguments that come from the tasks before; None: there is nothing to do, as none has failed."""
    if not chained:
        return []
    assert mine.attempt is not None
    found = mine.attempt.parents
    gone = [key for key in mine.parents if key not in found]
    if gone and chained != ERROR:
        raise LookupError(f"the results of {', '.join(gone)} are gone: the tasks were deleted")
    if chained == ONE:
        return [found[mine.parents[0]].result]
    if chained == ALL:
        return [[found[key].result for key in mine.parents]]
    failed = next((one for one in found.values() if one.state is TaskState.FAILED), None)
    if failed is None:
        return None
    last = failed.last_error
    told = [Request.of(failed), error_of(failed), "" if last is None else last.traceback]
    return told if _takes_three(task) else [failed.key]


def _takes_three(task: CeleryTask) -> bool:
    """Whether a callback for errors takes request, error and traceback, or the id alone."""
    parameters = [*signature(task.function).parameters.values()][1 if task.bound else 0 :]
    if any(one.kind is Parameter.VAR_POSITIONAL for one in parameters):
        return True
    return sum(one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for one in parameters) >= 3


def _tried(task: CeleryTask, args: list[Any], kwargs: dict[str, Any]) -> Any:
    settings = task.settings
    wanted, unwanted = tuple(settings.get("autoretry_for") or ()), tuple(settings.get("dont_autoretry_for") or ())
    try:
        return task.run(*args, **kwargs)
    except Signal:
        raise
    except unwanted:
        raise
    except wanted as error:
        options = {"exc": error, **(settings.get("retry_kwargs") or {})}
        if settings.get("retry_backoff"):
            options["countdown"] = _backoff(settings, task.request.retries)
        retry(task, **options)


def _backoff(settings: Mapping[str, Any], retries: int) -> float:
    """The factor doubled with each retry, at most the maximum; with jitter anything up to it."""
    factor = max(1, int(settings["retry_backoff"]))
    longest = min(settings.get("retry_backoff_max", 600), factor * 2**retries)
    return random.randint(0, int(longest)) if settings.get("retry_jitter", True) else longest  # noqa: S311 -- no secret


def retry(  # noqa: PLR0917 -- Celery's own signature
    task: CeleryTask,
    args: Any = None,
    kwargs: Any = None,
    exc: BaseException | None = None,
    throw: bool = True,
    eta: datetime | None = None,
    countdown: float | None = None,
    max_retries: int | None = None,
    **options: Any,
) -> NoReturn:
    """Run the task again: raises `Retry`; `exc`, or MaxRetriesExceededError, where all retries are used up."""
    refused = {"args": args, "kwargs": kwargs, **options} | ({} if throw else {"throw": throw})
    faults = [
        Fault(
            f"{task.name}.retry {name}", repr(value), "possible here: a retry runs the same call, and ends this attempt"
        )
        for name, value in refused.items()
        if value is not None
    ]
    if faults:
        raise ConfigurationError(faults)
    request = task.request
    most = task.max_retries if max_retries is None else max_retries
    if request.called_directly or (most is not None and request.retries >= most):
        told = "called directly" if request.called_directly else f"no retry is left of {most}"
        raise exc or MaxRetriesExceededError(f"can't retry {task.name} {request.id}: {told}")
    delay: timedelta | float = task.default_retry_delay if countdown is None else countdown
    if eta is not None:
        delay = (eta if eta.tzinfo is not None else eta.replace(tzinfo=UTC)) - datetime.now(UTC)
    raise Retry("" if exc is None else f"{type(exc).__name__}: {exc}", delay=seconds(delay)) from exc
