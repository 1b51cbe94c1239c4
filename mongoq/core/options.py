"""The options of a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from mongoq.core.host.environment import setting
from mongoq.core.judging.policy import DEFAULTS, Policy, carried_of, checked_policy
from mongoq.core.serial.sealing import check_codec
from mongoq.core.validation import NAMESPACE, QUEUE_NAME, Checker, Duration
from mongoq.fairness.given import Fairness, checked_fairness

ErrorQueue = Callable[[str], str]
"""Maps the name of a queue to that of its error queue."""

BESIDE: Final = "{}/err".format
MOST_BYTES: Final = 8 * 2**20
LONGEST_CLAIMANT: Final = 200
"""Characters of a claimant's name."""


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
