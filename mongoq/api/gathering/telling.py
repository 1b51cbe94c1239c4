"""Tell listeners what was enqueued. Where nobody listens that costs one look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from mongoq.core.events import Signpost
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.documents.drafting import Draft, Others

if TYPE_CHECKING:
    from mongoq.api.base import Base


def tell_one(base: Base, task: NewTask, created: Task) -> None:
    """Tell of one task, unless there was one in its place already."""
    # A new task has one object for both times; by value, a frozen clock would make each existing task new.
    if base.telemetry.heard and not (task.lenient and created.created_at is not created.read_at):
        base.telemetry.emit(Signpost.ENQUEUED, lines={(task.queue, task.name): 1})


def telling(base: Base, collect: Callable[[list[Draft], Others], None]) -> Callable[[list[Draft], Others], None]:
    """Tell of each chunk as it is collected."""
    if not base.telemetry.heard:
        return collect

    def collect_and_tell(drafts: list[Draft], others: Others) -> None:
        collect(drafts, others)
        tell_many(base, drafts, others)

    return collect_and_tell


def tell_many(base: Base, drafts: list[Draft], others: Others) -> None:
    """Tell of those of these drafts that were enqueued."""
    if base.telemetry.heard:
        new = (draft.options for place, draft in enumerate(drafts) if place not in others)
        lines = Counter((task.queue, task.name) for task in new)
        base.telemetry.emit(Signpost.ENQUEUED, lines=lines)
