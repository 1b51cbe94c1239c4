"""The policy: how an attempt runs and what follows its end; the part of a queue's options that travels with each task.

A task carries the options of the policy that its producer set, where they differ from the defaults of the library; the
queue of the worker provides the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final

from mongoq.core.judging.backoff import Backoff, BackoffLike, Linear
from mongoq.core.judging.follow_up import FollowUp, checked_follow_up
from mongoq.core.judging.retrying import Matcher, RetryRules, checked_matchers, storable
from mongoq.core.validation import Checker, Unset

_Check = Callable[[Checker, str, Any], Any]

MOST_RETRIES: Final = 2**31 - 1
SHORTEST_LEASE: Final = timedelta(seconds=1)
LONGEST_FAILURE_MESSAGE: Final = 200
"""Characters of it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How an attempt runs and what follows its end. A task may carry each of these options."""

    max_retries: int | None = None
    """Retries after the first attempt. None, the default: no limit. 0: the first failure is final."""
    backoff: BackoffLike = field(default_factory=lambda: Linear(timedelta(seconds=10)))
    """How long a failed task waits. Default: 10 s after the first failure, 20 s after the second, and so on."""
    deadline: timedelta | None = None
    """How long one attempt may run. None, the default: no limit."""
    lease: timedelta = timedelta(seconds=30)
    """How long a worker holds a task without a renewal: 30 s, at least 1 s. It is renewed at a third of that."""
    keep_completed: timedelta = timedelta(hours=1)
    """How long a completed task is kept: 1 hour. 0: it is deleted on completion."""
    keep_failed: timedelta = timedelta(days=30)
    """How long a failed, expired or cancelled task is kept: 30 days."""
    retry_on: tuple[Matcher, ...] | None = None
    """The errors that are retried. None, the default: all but those of `no_retry_on`."""
    no_retry_on: tuple[Matcher, ...] = ()
    """The errors that fail the task at once, whatever retries are left."""
    failure_message: str | None = None
    """What the log says first when the task has failed."""
    on_complete: FollowUp | None = None
    """What is enqueued when the task has ended, however it ended."""

    @property
    def rules(self) -> RetryRules:
        """Which errors are retried."""
        return RetryRules(self.retry_on, self.no_retry_on)

    def over(self, carried: Mapping[str, Any]) -> Policy:
        """This policy with the options that a task carries. Cached, as many tasks carry the same."""
        if not carried:
            return self
        try:
            return _over(self, tuple(carried.items()))
        except TypeError:  # a user's callable backoff need not be hashable
            return replace(self, **carried)


@functools.lru_cache(maxsize=1024)
def _over(policy: Policy, carried: tuple[tuple[str, Any], ...]) -> Policy:
    return replace(policy, **dict(carried))


DEFAULTS: Final = Policy()
POLICY_NAMES: Final = tuple(item.name for item in fields(Policy))


def checked_policy(checker: Checker, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of a policy that were given, and return them with durations as `timedelta`."""
    given = {name: value for name, value in values.items() if not isinstance(value, Unset)}
    checked: dict[str, Any] = {}
    for name, value in given.items():
        check: _Check = _CHECKS.get(name) or _checked_duration
        checked[name] = check(checker, name, value)
    lease = checked.get("lease")
    if lease is not None and lease < SHORTEST_LEASE:
        checker.refuse("lease", values["lease"], "at least 1 second")
    return checked


def carried_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a policy that a task can carry: all but functions."""
    return {name: value for name, value in given.items() if _can_travel(name, value)}


def _can_travel(name: str, value: Any) -> bool:
    if name == "backoff":
        return isinstance(value, Backoff)
    return storable(value) if name in ("retry_on", "no_retry_on") else True


def _checked_duration(checker: Checker, name: str, value: Any) -> timedelta | None:
    return checker.duration(name, value, positive=name in ("lease", "deadline"))


def _checked_failure_message(checker: Checker, name: str, value: Any) -> Any:
    checker.text(name, value, LONGEST_FAILURE_MESSAGE)
    return value


def _checked_backoff(checker: Checker, _name: str, backoff: Any) -> BackoffLike:
    if isinstance(backoff, Backoff) or (callable(backoff) and not isinstance(backoff, type)):
        return backoff
    allowed = "Linear, Exponential, Constant, Ladder, a duration (the step of Linear) or a callable of the attempt"
    if isinstance(backoff, timedelta | int | float) and not isinstance(backoff, bool):
        step = checker.duration("backoff", backoff)
        return Linear(step or timedelta(0))
    checker.refuse("backoff", backoff, allowed)
    return DEFAULTS.backoff


def _or_none(check: _Check) -> _Check:
    def checked(checker: Checker, name: str, value: Any) -> Any:
        return None if value is None else check(checker, name, value)

    return checked


def _checked_count(checker: Checker, name: str, value: Any) -> int | None:
    return checker.integer(name, value, 0, MOST_RETRIES)


_CHECKS: Final[Mapping[str, _Check]] = {
    "max_retries": _or_none(_checked_count),
    "backoff": _checked_backoff,
    "deadline": _or_none(_checked_duration),
    "retry_on": _or_none(checked_matchers),
    "no_retry_on": checked_matchers,
    "failure_message": _or_none(_checked_failure_message),
    "on_complete": _or_none(checked_follow_up),
}
"""How each option of a policy is checked; the others are durations."""
