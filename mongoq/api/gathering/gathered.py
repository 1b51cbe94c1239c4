"""How one call of `new` comes to be gathered, or to go by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mongoq.api.gathering.gatherer import Gatherer
from mongoq.api.gathering.telling import tell_one
from mongoq.core.requests import checked_seconds
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Duration
from mongoq.storage.commands import Op
from mongoq.storage.drivers.calls import limited
from mongoq.storage.operations.enqueue import new, new_in_transaction
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.schema import keeping_unique

if TYPE_CHECKING:
    from mongoq.api.base import Base

TOGETHER: Final = ("error", "skip")
"""The values of `on_conflict` that one insert of many documents can serve."""


def enqueued(base: Base, task: NewTask, session: object = None, wait: Duration | None = 0) -> Op[Task]:
    """Enqueue one task, once there is room for it."""
    base.check_accepting()
    patience = checked_seconds("wait", wait)
    task = base.hooks.fill(task)
    base.use(task)
    if task.limits:
        yield from base.read(keeping.check(base.context, task.limits))
    if base.rooms is not None:
        yield from base.rooms.admit(task.queue, 1, patience)
    joined = base.joined(session)
    if joined is None and base.driver.AWAITED:
        created: Task = yield from gathered(base.gatherer, task)
    else:
        made = (new if joined is None else new_in_transaction)(base.context, task)
        if task.unique is not None and joined is None:
            made = keeping_unique(base.context, made)
        created = yield from base.send(made, joined)
    tell_one(base, task, created)
    return created


def gathered(gatherer: Gatherer, task: NewTask) -> Op[Task]:
    """Enqueue one task, together with those of other calls where some are under way.

    It goes by itself where the caller has set a time limit, which is not the others', or where one insert of many
    documents cannot do what `on_conflict` asks for.
    """
    base = gatherer.base

    def alone() -> Op[Task]:
        made = new(base.context, task)
        return base.send(made if task.unique is None else keeping_unique(base.context, made))

    apart = task.on_conflict not in TOGETHER or limited()
    return alone() if apart else gatherer.together(task, alone)
