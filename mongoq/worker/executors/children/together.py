"""A batch in a child: it is told what concerns all of its tasks, or one of them, and sends an outcome of each."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mongoq.core.host.tracebacks import let_go
from mongoq.core.judging.retrying import RetryRules
from mongoq.core.judging.verdict import NO_RESULT, Made, Raised, Returned
from mongoq.core.signals import Interruption
from mongoq.core.tasks.task import Task
from mongoq.worker.executors.children.messages import ChildAttempt, Up
from mongoq.worker.executors.children.outcome import pack_error, pack_result, unpack_error, unpack_result
from mongoq.worker.handlers.signature import Handler


class ChildBatch:
    """The live side of several tasks that one handler runs."""

    def __init__(
        self, number: int, deadline: float | None, send: Callable[..., None], received: Sequence[tuple[Task, Any]]
    ) -> None:
        self.number = number
        self.tasks = [task for task, _ in received]
        self.members = [
            ChildAttempt(number, deadline, partial(send, Up.OF_MEMBER, place), task.key)
            for place, task in enumerate(self.tasks)
        ]
        for member, (task, parents) in zip(self.members, received, strict=True):
            member.parents = parents
            member.task = task
            object.__setattr__(task, "attempt", member)
        self.deadline_at = self.members[0].deadline_at
        self.deadline_raised = False

    @property
    def key(self) -> str:
        """Their keys, for a log line."""
        return ", ".join(member.key for member in self.members[:3])

    def interrupt(self, reason: Interruption, left: float | None, place: int | None = None) -> None:
        """Tell all of them to stop, or one."""
        for member in self.members if place is None else [self.members[place]]:
            member.interrupt(reason, left)

    def packed(self, outcome: Made, rules: RetryRules, local: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The outcome of each, pickled; an error that several share is described once for each of their rules."""
        of_each = [rules.over(task.policy).over(local.get(task.name or "", {})) for task in self.tasks]
        outcomes = [outcome] * len(self.members) if isinstance(outcome, Raised) else outcome.value
        if outcomes is None:
            outcomes = [NO_RESULT] * len(self.members)
        known: dict[Any, Any] = {}
        packed: list[tuple[Any, ...]] = []
        for member, own, one in zip(self.members, of_each, outcomes, strict=True):
            if isinstance(one, Returned):
                packed.append(_returned(one, own))
                continue
            error = member.effective_error(one.error)
            place = id(error), own
            if place not in known:
                known[place] = pack_error(error, own)
            packed.append(known[place])
        return packed

    def perform(self, handler: Handler) -> Made:
        """Call the handler for all of them; whatever it raises is their outcome."""
        try:
            return Returned(contextvars.Context().run(handler, self.tasks))
        except BaseException as error:  # noqa: BLE001 -- as it says
            return Raised(error)

    def let_go(self, outcome: Made) -> None:
        """Drop the frames of an error, and the tasks, which refer to their attempts."""
        if isinstance(outcome, Raised):
            let_go(outcome.error)
        for member in self.members:
            del member.task


def _returned(outcome: Returned, rules: RetryRules) -> tuple[Any, ...]:
    try:
        return (pack_result(outcome.value),)
    except Exception as error:  # noqa: BLE001 -- tasks that follow and cannot be pickled, or no memory: this one fails
        return pack_error(error, rules)


def unpack_batch(packed: Sequence[tuple[Any, ...]]) -> Made:
    """The outcome of a batch, with that of each task, in the parent."""
    return Returned([unpack_result(*one) if len(one) == 1 else unpack_error(*one) for one in packed])


ENDINGS: Final[Mapping[Any, Callable[..., Made]]] = {
    Up.RETURNED: unpack_result,
    Up.RAISED: unpack_error,
    Up.TOGETHER: unpack_batch,
}
"""What reads a message that ends an attempt, or a batch."""
