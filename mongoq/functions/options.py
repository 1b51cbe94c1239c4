"""The options that a function, or one call of it, gives to its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from mongoq.core.judging.backoff import BackoffLike
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.validation import Duration, did_you_mean
from mongoq.flow.given import After, BatchLike
from mongoq.limiting.given import Limits


class FunctionOptions(TypedDict, total=False):
    """The options of `Queue.new` that a function may have for all its calls."""

    key: str
    on_conflict: str
    queue: str
    priority: int
    delay: Duration
    run_at: datetime
    expires_at: datetime
    payload: Any
    context: Mapping[str, Any]
    unique: str
    max_retries: int | None
    backoff: BackoffLike | Duration
    deadline: Duration | None
    lease: Duration
    keep_completed: Duration
    keep_failed: Duration
    retry_on: RetryOn | None
    no_retry_on: RetryOn
    failure_message: str | None
    on_complete: Any
    after: After
    on_parent_failure: str
    limits: Limits


class TaskOptions(FunctionOptions, total=False):
    """The options of `Queue.new`, but for tags and session."""

    batch: BatchLike | None


def checked_names(options: Mapping[str, Any], where: str) -> None:
    """TypeError where an option is misspelt, with the one that was probably meant."""
    known = [*FunctionOptions.__annotations__, *TaskOptions.__annotations__]
    for name in options:
        if name not in known:
            raise TypeError(f"{where} has no option {name!r}{did_you_mean(name, known)}")


def merged(options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options with those of one call in their place; a delay takes the place of a time, and the other way round."""
    both = {**options, **given}
    for one, other in (("delay", "run_at"), ("run_at", "delay")):
        if one in given and other not in given:
            both.pop(other, None)
    return both
