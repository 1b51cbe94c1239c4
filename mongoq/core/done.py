"""What a handler returns to give a result together with the tasks that follow it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mongoq.core.errors import InvalidTask
from mongoq.core.modification import Modification
from mongoq.core.new_task import NewTask
from mongoq.core.validation import Checker

__all__ = ["Done"]


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a task and what follows it: `return Done(receipt, then=[NewTask({"order": 7})])`.

    Both are written together with the completion, or the attempt has failed. It is checked when it is made:
    `InvalidTask` lists every fault.
    """

    result: Any = None
    """The result, as a handler may return it by itself."""
    then: NewTask | Iterable[NewTask] | Modification = ()
    """New tasks, or the atomic change to make together with the completion."""

    def __post_init__(self) -> None:
        checker = Checker(InvalidTask)
        if isinstance(self.result, NewTask | Modification | Done):
            checker.refuse("result", self.result, "a value; what follows the task is given by then=")
        if not isinstance(self.then, Modification):
            object.__setattr__(self, "then", _checked(checker, self.then))
        checker.finish()

    @property
    def modification(self) -> Modification | None:
        """The change to make together with the completion; None: there is none."""
        then: Any = self.then
        change = then if isinstance(then, Modification) else Modification(insert=then)
        return change if len(change) else None


def _checked(checker: Checker, then: Any) -> tuple[NewTask, ...]:
    if isinstance(then, NewTask):
        return (then,)
    if isinstance(then, str | bytes) or not isinstance(then, Iterable):
        checker.refuse("then", then, "a NewTask, a list of them, or a Modification")
        return ()
    items = tuple(then)
    for place, item in enumerate(items):
        if not isinstance(item, NewTask):
            checker.refuse(f"then[{place}]", item, "a NewTask")
    return items
