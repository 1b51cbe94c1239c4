"""Celery's options: what each is here. An option that is in no table, or is refused, raises with its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq import ConfigurationError, Fault
from mongoq.core.validation import did_you_mean, shortened

__all__ = [
    "CALL",
    "CALL_IDLE",
    "REFUSED",
    "TASK",
    "TASK_IDLE",
    "call_options",
    "checked_task",
    "seconds",
    "task_options",
]

TASK: Final = (
    "name", "bind", "autoretry_for", "dont_autoretry_for", "max_retries", "default_retry_delay", "retry_backoff",
    "retry_backoff_max", "retry_jitter", "retry_kwargs", "time_limit", "soft_time_limit", "ignore_result", "expires",
    "queue", "priority", "typing", "rate_limit", "limits",
)  # fmt: skip
"""Options of `@shared_task` that mean what they do in Celery; `limits` is mongoq's own."""
TASK_IDLE: Final = (
    "acks_late", "reject_on_worker_lost", "retry_on_worker_lost", "track_started", "send_events", "trail", "throws",
    "store_errors_even_if_ignored", "serializer", "compression", "shared", "resultrepr_maxsize", "result_expires",
    "acks_on_failure_or_timeout", "acks_on_failure", "acks_on_timeout",
)  # fmt: skip
"""Options that change nothing: what they ask for is always so, or is the queue's matter."""
CALL: Final = (
    "countdown", "eta", "expires", "queue", "priority", "task_id", "link", "link_error", "ignore_result", "time_limit",
    "soft_time_limit", "limits",
)  # fmt: skip
"""Options of `apply_async` that mean what they do in Celery; `limits` is mongoq's own."""
SAME: Final = ("queue", "priority", "limits")
"""Options that have one name."""
CALL_IDLE: Final = ("retry", "retry_policy", "serializer", "compression", "add_to_parent")
ALWAYS_LATE: Final = "True: a task is held under a lease until it has ended, and those of a lost worker run elsewhere"
ONLY_WHERE: Final[Mapping[str, tuple[tuple[object, ...], str]]] = {
    "acks_late": ((True, None), ALWAYS_LATE),
    "reject_on_worker_lost": ((True, None), ALWAYS_LATE),
    "retry_on_worker_lost": ((True, None), ALWAYS_LATE),
    "acks_on_failure_or_timeout": ((True, None), "True: a task that fails without a retry has ended"),
    "acks_on_failure": ((True, None), "True: a task that fails without a retry has ended"),
    "acks_on_timeout": ((True, None), "True: a task that fails without a retry has ended"),
    "serializer": (("json", "msgpack", "yaml", "bson", None), "json, msgpack or yaml: values are stored as BSON"),
}
"""Options without effect, and the values that ask for what is always so."""
REFUSED: Final[Mapping[str, str]] = {
    "base": "possible here: use @queue.middleware, queue.on(AttemptFailed, ...) or on_complete= of a task function",
    "routing_key": "possible here: name a queue",
    "exchange": "possible here: name a queue",
    "pydantic": "possible here: a task function of mongoq converts models by its annotations",
    "pydantic_strict": "possible here: a task function of mongoq converts models by its annotations",
    "pydantic_context": "possible here: a task function of mongoq converts models by its annotations",
    "pydantic_dump_kwargs": "possible here: a task function of mongoq converts models by its annotations",
    "backend": "possible here: results are kept with the tasks",
    "result_serializer": "possible here: results are stored as BSON",
    "headers": "possible here: give `context=` to a task function of mongoq, or declare it by @queue.context",
    "shadow": "possible here: a task has one name",
    "producer": "possible here: the queue has its client",
    "connection": "possible here: the queue has its client",
    "publisher": "possible here: the queue has its client",
    "router": "possible here: name a queue",
    "mandatory": "possible here: a call is acknowledged by a majority, or raises",
    "immediate": "possible here: a task waits until a worker takes it",
    "delivery_mode": "possible here: tasks are durable",
    "reply_to": "possible here: results are kept with the tasks",
    "stamped_headers": "possible here: give tags to a task function of mongoq",
    "chord": "possible here: call chord(header, body)",
    "group_id": "possible here: call group(...)",
    "root_id": "possible here: call chain(...)",
    "parent_id": "possible here: call chain(...)",
}
"""What cannot be, and what to do."""


def checked(where: str, given: Mapping[str, Any], known: tuple[str, ...], idle: tuple[str, ...]) -> None:
    """ConfigurationError that lists each option which is not what Celery makes of it."""
    faults = []
    for name, value in given.items():
        allowed = REFUSED.get(name)
        if name in ONLY_WHERE and name in idle:
            values, why = ONLY_WHERE[name]
            allowed = None if value in values else why
        elif allowed is None and name not in known and name not in idle:
            allowed = f"an option that mongoq.contrib.celery knows{did_you_mean(name, [*known, *idle])}"
        if allowed is not None:
            faults.append(Fault(f"{where} {name}", shortened(value), allowed))
    if faults:
        raise ConfigurationError(faults)


def checked_task(name: str, given: Mapping[str, Any]) -> None:
    """Check the options of a `@shared_task`."""
    checked(f"@shared_task of {name}:", given, TASK, TASK_IDLE)


def task_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of mongoq's task function: it is the shim that counts retries, so mongoq sees no maximum."""
    options: dict[str, Any] = {"max_retries": None, "retry_on": ()}
    options |= {name: given[name] for name in SAME if given.get(name) is not None}
    return options | _limits(given)


def call_options(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one call, without links."""
    checked(where, given, CALL, CALL_IDLE)
    options = {name: given[name] for name in SAME if given.get(name) is not None}
    if given.get("task_id") is not None:
        options["key"] = given["task_id"]
    if given.get("eta") is not None:
        options["run_at"] = instant(given["eta"])
    elif given.get("countdown"):
        options["delay"] = seconds(given["countdown"])
    if given.get("expires") is not None:
        options["expires_at"] = instant(given["expires"])
    return options | _limits(given)


def _limits(given: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    limit = given.get("soft_time_limit") or given.get("time_limit")
    if limit is not None:
        options["deadline"] = limit
    if given.get("ignore_result"):
        options["keep_completed"] = 0
    return options


def seconds(delay: float | timedelta) -> timedelta:
    """A number of seconds, none of them negative."""
    wait = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
    return max(wait, timedelta(0))


def instant(when: float | timedelta | datetime) -> datetime:
    """An instant, or so many seconds from now. A datetime without a zone is UTC, as in Celery."""
    if isinstance(when, datetime):
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return datetime.now(UTC) + seconds(when)
