"""A task to be enqueued, checked when it is made."""

from __future__ import annotations

import copy
import functools
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from mongoq.core.carried_context import checked_context
from mongoq.core.errors import InvalidTask
from mongoq.core.judging.policy import POLICY_NAMES, carried_of, checked_policy
from mongoq.core.serial.natural import ITSELF, counterpart
from mongoq.core.validation import QUEUE_NAME, TASK_NAME, UNSET, Checker, Duration, Unset, all_unset
from mongoq.flow.given import CANCEL, check_flow
from mongoq.limiting.given import check_limits

__all__ = ["NewTask"]

Tags = Mapping[str, Any]

MOST_TAGS: Final = 64
STORED_NAME: Final = re.compile(rf"{TASK_NAME.pattern}(@[1-9][0-9]{{0,9}})?")
"""The name of a task: that of a function, with `@` and the function's revision where it has one."""
ERROR, SKIP, REPLACE, EXTEND, AGAIN = "error", "skip", "replace", "extend", "again"
ON_CONFLICT: Final = (ERROR, SKIP, REPLACE, EXTEND, AGAIN)
MERGING: Final = (REPLACE, EXTEND, AGAIN)
"""The values of `on_conflict` that change the task with the same `unique` value."""
_SCALARS: Final = frozenset({int, str, float, bool, bytes, type(None), datetime, UUID, Decimal})
_policy_of: Final = attrgetter(*POLICY_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to be enqueued. Its arguments are those of `Queue.new`.

    It is checked when it is made: `InvalidTask` lists every fault.
    """

    tags: Mapping[str, Any] = field(default_factory=dict, kw_only=False)
    key: str | None = None
    queue: str = "default"
    name: str | None = None
    priority: int = 0
    delay: Duration | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    payload: Any = None
    context: Mapping[str, Any] | None = None
    unique: str | None = None
    on_conflict: str = "error"
    after: Any = ()
    on_parent_failure: str = CANCEL
    batch: Any = None
    limits: Any = ()
    max_retries: int | Unset | None = UNSET
    backoff: Any = UNSET
    deadline: Duration | Unset | None = UNSET
    lease: Duration | Unset = UNSET
    keep_completed: Duration | Unset = UNSET
    keep_failed: Duration | Unset = UNSET
    retry_on: Any = UNSET
    no_retry_on: Any = UNSET
    failure_message: str | Unset | None = UNSET
    on_complete: Any = UNSET
    carried: Mapping[str, Any] = field(init=False, repr=False)
    """The options of its policy that were given, durations as `timedelta`."""
    like: NewTask | None = field(init=False, default=None, repr=False, compare=False)
    """The task that it has all options of: those that share one are encoded faster."""

    def __post_init__(self) -> None:
        checker = Checker(InvalidTask)
        self._check_values(checker)
        if not checker.faults:  # what the caller changes later changes nothing here
            object.__setattr__(self, "tags", copied(self.tags))
            if self.payload is not None:
                object.__setattr__(self, "payload", copied(self.payload))
        if self.context is not None:
            object.__setattr__(self, "context", checked_context(checker, self.context))
        for name, text in (("key", self.key), ("unique", self.unique)):
            if text is not None:
                checker.text(name, text, 512)
        if self.on_conflict is not ERROR:
            self._check_conflict(checker)
        if self.flows or self.on_parent_failure != CANCEL:
            check_flow(checker, self)
        if self.limits != ():
            check_limits(checker, self)
        checker.matching("queue", self.queue, QUEUE_NAME)
        if self.name is not None:
            checker.matching("name", self.name, STORED_NAME)
        checker.priority("priority", self.priority)
        self._check_times(checker)
        policy = _policy_of(self)
        # Most tasks set none: `count` costs 0.1 µs, the dictionary 0.6.
        set_ = () if all_unset(policy) else zip(POLICY_NAMES, policy, strict=True)
        given = {name: value for name, value in set_ if value is not UNSET}
        object.__setattr__(self, "carried", self._checked_policy(checker, given) if given else given)
        checker.finish()

    @property
    def lenient(self) -> bool:
        """Whether a taken `unique` value, or key, leads to another task instead of an error."""
        return self.on_conflict != ERROR

    @property
    def flows(self) -> bool:
        """Whether it has parents, or is a member of a batch."""
        return self.batch is not None or self.after != ()

    @property
    def merges(self) -> bool:
        """Whether the task that has its `unique` value is changed instead."""
        return self.on_conflict in MERGING

    def _check_conflict(self, checker: Checker) -> None:
        checker.one_of("on_conflict", self.on_conflict, ON_CONFLICT)
        if isinstance(self.on_conflict, str) and self.unique is None and self.on_conflict in MERGING:
            allowed = f"a `unique` value: on_conflict={self.on_conflict!r} changes the task that has it"
            checker.refuse("unique", None, allowed)

    def carrying(self, context: Mapping[str, Any]) -> NewTask:
        """The same task with this context, which was checked."""
        other = copy.copy(self)
        object.__setattr__(other, "context", context)
        object.__setattr__(other, "like", None)
        return other

    def check_again(self) -> None:
        """InvalidTask where tags or payload were changed since, as a dict or a list can be."""
        checker = Checker(InvalidTask)
        self._check_values(checker)
        checker.finish()

    def _check_values(self, checker: Checker) -> None:
        if type(self.tags) is not dict or self.tags:
            check_tags(checker, self.tags, warn=self.name is None)
        if self.payload is not None:
            checker.value("payload", self.payload)

    def _check_times(self, checker: Checker) -> None:
        if self.delay is not None:
            checker.duration("delay", self.delay)
            if self.run_at is not None:
                checker.refuse("delay", self.delay, "allowed together with run_at: give one of them")
        for name, instant in (("run_at", self.run_at), ("expires_at", self.expires_at)):
            if instant is not None:
                object.__setattr__(self, name, checker.instant(name, instant))

    def _checked_policy(self, checker: Checker, given: Mapping[str, Any]) -> dict[str, Any]:
        checked = checked_policy(checker, given)
        carried = carried_of(checked)
        for name in checked.keys() - carried.keys():
            checker.refuse(name, given[name], "a value that can travel with the task; set a callable on the Queue")
        return checked


OPTION_NAMES: Final = frozenset(item.name for item in fields(NewTask) if item.init) - {"name"}


@functools.lru_cache
def warn_of_option(name: str) -> None:
    """Warn that a tag has the name of an option, once for each name: `new({"priority": 9})` sets no priority."""
    text = f"{name!r} is an option of a task, and was given as a tag: new(tags, {name}=...) sets the option"
    frame, depth = sys._getframe(1), 2  # noqa: SLF001 -- the line to be named is the caller's, outside of mongoq
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("mongoq."):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(text, UserWarning, stacklevel=depth)


def copied(value: Any) -> Any:
    """A value as it is stored, whose containers are its own: a caller may go on to change those that it gave."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict or isinstance(value, Mapping):
        own = dict(value)
        for name, inner in own.items():
            if type(inner) not in _SCALARS:
                own[name] = copied(inner)
        return own
    if isinstance(value, list | tuple):
        return [copied(inner) for inner in value]
    other = counterpart(value)
    return value if other is ITSELF else copied(other)


def check_tags(checker: Checker, tags: Tags, *, warn: bool = True) -> None:
    """Check the tags of a task; `warn` where one has the name of an option."""
    checker.tags("tags", tags)
    if type(tags) is not dict and not isinstance(tags, Mapping):
        return
    if len(tags) > MOST_TAGS:
        checker.refuse("tags", f"{len(tags)} tags", f"at most {MOST_TAGS} tags")
    if warn and not OPTION_NAMES.isdisjoint(tags):  # the parameters of a task function have names of their own
        for name in sorted(OPTION_NAMES & tags.keys()):
            warn_of_option(name)
