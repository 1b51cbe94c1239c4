"""The options of a queue, and the part of them that travels with each task.

The *policy* decides about the end of an attempt. A task carries the options of the policy that its producer set, where
they differ from the defaults of the library; the queue of the worker provides the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final

from mongoq.core.backoff import Backoff, BackoffLike, Linear
from mongoq.core.host.environment import setting
from mongoq.core.judging.follow_up import FollowUp, checked_follow_up
from mongoq.core.judging.retrying import Matcher, RetryRules, checked_matchers, storable
from mongoq.core.sealing import check_codec
from mongoq.core.validation import NAMESPACE, QUEUE_NAME, Checker, Duration, Unset
from mongoq.fairness.given import Fairness, checked_fairness

__all__ = ["Options", "Policy"]

ErrorQueue = Callable[[str], str]
"""Maps the name of a queue to that of its error queue."""

_Check = Callable[[Checker, str, Any], Any]

MOST_BYTES: Final = 8 * 2**20
MOST_RETRIES: Final = 2**31 - 1
LONGEST_CLAIMANT: Final = 200
"""Characters of a claimant's name."""
LONGEST_FAILURE_MESSAGE: Final = 200
"""Characters of it."""
SHORTEST_LEASE: Final = timedelta(seconds=1)


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
BESIDE: Final = "{}/err".format
POLICY_NAMES: Final = tuple(item.name for item in fields(Policy))


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a queue, checked; durations as `timedelta`."""

    namespace: str
    max_age: timedelta | None
    workers: int | None
    """Handlers that run at once; None: as many as suit the executor."""
    grace: timedelta
    max_task_bytes: int
    error_queue: ErrorQueue | None
    """Names the queue to which a failed task is moved; None: it stays in its queue, failed."""
    policy: Policy
    carried: Mapping[str, Any]
    """The options of the policy that differ from the defaults: stored in each new task."""
    claimant: str | None = None
    """The name for claims by hand; None: a name of the host and the process."""
    local: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the name of a task: the options of its function that no task can carry, such as predicates."""
    max_size: int | None = None
    """How many tasks may wait in each queue; None: any number."""
    fairness: Fairness | None = None
    """How claims heed those who wait; None: priorities are strict."""

    def policy_of(self, name: str | None, carried: Mapping[str, Any]) -> Policy:
        """The policy of a task; the functions of its task function outweigh what it carries."""
        policy = self.policy.over(carried)
        own = self.local.get(name) if name is not None else None
        return policy if own is None else policy.over(own)


def checked_options(
    *,
    namespace: str,
    max_age: Duration | None,
    workers: int | None,
    grace: Duration,
    max_task_bytes: int,
    error_queue: bool | ErrorQueue | None = None,
    policy: Mapping[str, Any],
    claimant: str | None = None,
    max_size: int | None = None,
    codec: Any = None,
    fair_share: Any = None,
    aging: Duration | None = None,
) -> Options:
    """Check every option of a queue; raises ConfigurationError with every fault."""
    checker = Checker()
    checker.matching("namespace", namespace, NAMESPACE)
    age = None if max_age is None else checker.duration("max_age", max_age, positive=True)
    count = checked_workers(checker, workers)
    checked_grace = checker.duration("grace", grace)
    checker.integer("max_task_bytes", max_task_bytes, 1024, MOST_BYTES)
    if claimant is not None:
        claimant = setting("claimant", claimant) if isinstance(claimant, str) else claimant
        checker.text("claimant", claimant, LONGEST_CLAIMANT)
    if max_size is not None:
        checker.integer("max_size", max_size, 1, 10**9)
    check_codec(checker, codec)
    fairness = checked_fairness(checker, fair_share, aging)
    given = checked_policy(checker, policy)
    if not (error_queue is None or isinstance(error_queue, bool) or callable(error_queue)):
        checker.refuse("error_queue", error_queue, "True (for `<queue>/err`), None, or a function of the queue's name")
    checker.finish()
    return Options(
        namespace=namespace,
        max_age=age,
        workers=count,
        grace=checked_grace or timedelta(0),
        max_task_bytes=max_task_bytes,
        error_queue=BESIDE if error_queue is True else error_queue or None,
        policy=replace(DEFAULTS, **given),
        carried=carried_of({name: value for name, value in given.items() if value != getattr(DEFAULTS, name)}),
        claimant=claimant,
        max_size=max_size,
        fairness=fairness,
    )


def checked_workers(checker: Checker, workers: int | None) -> int | None:
    """Check the number of handlers that run at once; None: as many as suit the executor."""
    return None if workers is None else checker.integer("workers", workers, 1, 10_000)


def checked_queues(checker: Checker, queues: str | Sequence[str], most: int = 100) -> tuple[str, ...]:
    """Check the names of queues, and return each once."""
    names = list(queues) if isinstance(queues, Iterable) and not isinstance(queues, str) else [queues]
    if not 1 <= len(names) <= most:
        checker.refuse("queues", names, f"a list of 1 to {most:,} queue names")
    for name in names:
        checker.matching("queues", name, QUEUE_NAME)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def checked_keys(checker: Checker, keys: Sequence[str] | None) -> None:
    """Check a list of keys; a bare string would be read as a list of characters."""
    if keys is None:
        return
    if isinstance(keys, str) or not isinstance(keys, Sequence) or not all(isinstance(key, str) for key in keys):
        checker.refuse("keys", keys, "a list of keys")


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
