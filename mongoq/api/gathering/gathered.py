"""How one call of `new` comes to be gathered, or to go by itself."""

from __future__ import annotations

from typing import Final

from mongoq.api.gathering.gatherer import Gatherer
from mongoq.core.new_task import NewTask
from mongoq.core.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.drivers.calls import limited
from mongoq.storage.operations.enqueue import new
from mongoq.storage.operations.schema import keeping_unique

TOGETHER: Final = ("error", "skip")
"""The values of `on_conflict` that one insert of many documents can serve."""


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
