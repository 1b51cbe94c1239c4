"""What a handler returns: its result, the tasks that follow it, or both in a `Done`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mongoq.core.errors import Fault, InvalidTask
from mongoq.core.serial.natural import natural_or_same
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.validation import Checker, shortened

if TYPE_CHECKING:
    from mongoq.core.tasks.task import Task

R = TypeVar("R")

__all__ = ["Done", "follow_up_of", "parted"]


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """The result of a task and what follows it: `return Done(receipt, then=[NewTask({"order": 7})])`.

    Both are written together with the completion, or the attempt has failed. It is checked when it is made:
    `InvalidTask` lists every fault.
    """

    result: R = None  # type: ignore[assignment] # of a Done without one
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


def parted(value: Any, task: Task) -> tuple[Any, Modification | None]:
    """The result in what the handler of a task returned, and the atomic change that it asks for."""
    if not isinstance(value, Done):
        follow_up = follow_up_of(value)
        return (natural_or_same(value), None) if follow_up is None else (None, _carrying(follow_up, task.context))
    follow_up = value.modification
    if follow_up is not None and any(ref.key == task.key for ref in follow_up.given_up):
        allowed = "a change of other tasks: one that gives up the handler's own has no place for a result"
        raise InvalidTask([Fault("then", shortened(follow_up), allowed)])
    return natural_or_same(value.result), None if follow_up is None else _carrying(follow_up, task.context)


def _carrying(change: Modification, context: Mapping[str, Any]) -> Modification:
    """The change with new tasks that carry on the context of the task that they follow."""
    if not context or all(new.context is not None for new in change.insert):
        return change
    insert = tuple(new.carrying(context) if new.context is None else new for new in change.insert)
    return replace(change, insert=insert)


def follow_up_of(value: Any) -> Modification | None:
    """The atomic change that a handler's return value asks for: a Modification, or one or several new tasks.

    Raises InvalidTask when a list mixes new tasks with other values.
    """
    if isinstance(value, Modification):
        return value
    items = [value] if isinstance(value, NewTask) else value
    if not (isinstance(items, list | tuple) and any(isinstance(item, NewTask | Modification) for item in items)):
        return None
    if not all(isinstance(item, NewTask) for item in items):
        allowed = "a result, a NewTask, a list of NewTasks and nothing else, or a Modification"
        raise InvalidTask([Fault("result", shortened(value), allowed)])
    return Modification(insert=items)


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
