"""A task before it exists, checked at birth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mongoq.checks import MOST_FAULTS, QUEUE_NAME, UNSET, Checker, Duration, Unset
from mongoq.errors import Fault, InvalidTask
from mongoq.options import POLICY_NAMES, carried_of, checked_policy

__all__ = ["NewTask"]

MOST_TAGS: Final = 64
ON_CONFLICT: Final = ("error", "skip")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task that does not exist yet, checked at birth: `InvalidTask` lists everything that is wrong.

    The arguments are those of `Queue.new`, where they are explained.
    """

    tags: Mapping[str, Any] = field(default_factory=dict, kw_only=False)
    key: str | None = None
    queue: str = "default"
    priority: int = 0
    delay: Duration | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    payload: Any = None
    unique: str | None = None
    on_conflict: str = "error"
    max_retries: int | Unset | None = UNSET
    backoff: Any = UNSET
    deadline: Duration | Unset | None = UNSET
    lease: Duration | Unset = UNSET
    keep_completed: Duration | Unset = UNSET
    keep_failed: Duration | Unset = UNSET
    carried: Mapping[str, Any] = field(init=False, repr=False)
    """The policy it was given, in its inner form."""

    def __post_init__(self) -> None:
        checker = Checker(InvalidTask)
        checker.tags("tags", self.tags)
        if isinstance(self.tags, Mapping) and len(self.tags) > MOST_TAGS:
            checker.refuse("tags", f"{len(self.tags)} tags", f"at most {MOST_TAGS} tags")
        if self.payload is not None:
            checker.value("payload", self.payload)
        for name, text in (("key", self.key), ("unique", self.unique)):
            if text is not None:
                checker.text(name, text, 512)
        checker.one_of("on_conflict", self.on_conflict, ON_CONFLICT)
        checker.matching("queue", self.queue, QUEUE_NAME)
        checker.priority("priority", self.priority)
        self._check_times(checker)
        given = {name: getattr(self, name) for name in POLICY_NAMES if getattr(self, name) is not UNSET}
        object.__setattr__(self, "carried", self._checked_policy(checker, given) if given else given)
        checker.finish()

    @classmethod
    def many(cls, items: Iterable[Mapping[str, Any] | NewTask], common: Mapping[str, Any]) -> list[NewTask]:
        """A NewTask for each item; `common` applies to those that are only tags. InvalidTask names each place."""
        made: list[NewTask] = []
        faults: list[Fault] = []
        for place, item in enumerate(items):
            try:
                made.append(item if isinstance(item, NewTask) else cls(tags=item, **common))
            except InvalidTask as error:
                faults += [fault._replace(field=f"tasks[{place}].{fault.field}") for fault in error.faults]
        if faults:
            raise InvalidTask(faults[:MOST_FAULTS])
        return made

    def _check_times(self, checker: Checker) -> None:
        if self.delay is not None:
            checker.duration("delay", self.delay)
            if self.run_at is not None:
                checker.refuse("delay", self.delay, "given together with run_at: give one of them")
        for name, instant in (("run_at", self.run_at), ("expires_at", self.expires_at)):
            if instant is not None:
                object.__setattr__(self, name, checker.instant(name, instant))

    def _checked_policy(self, checker: Checker, given: Mapping[str, Any]) -> dict[str, Any]:
        checked = checked_policy(checker, given)
        if "backoff" in given and "backoff" not in carried_of(checked):
            checker.refuse(
                "backoff",
                given["backoff"],
                "a value that can travel with the task; set a callable on the Queue",
            )
        return checked
