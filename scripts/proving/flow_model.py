"""A small model of parents and batches: plain values, written from what docs/flow.md promises."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from mongoq.core.lifecycle import FINISHED, LIVE, TaskState

OK: Final = TaskState.COMPLETED


@dataclass
class Known:
    """One task, as it must be."""

    state: TaskState
    after: set[str] = field(default_factory=set)
    """The parents that it still waits for, or was cancelled because of."""
    rule: str = "cancel"
    batch: str | None = None
    open: bool | None = None
    """Of a batch: whether it is open; None: it is none."""


class FlowModel:
    """All tasks and batches, by key."""

    def __init__(self) -> None:
        self.tasks: dict[str, Known] = {}

    def in_state(self, *states: TaskState) -> list[str]:
        """The keys of the tasks in one of these states."""
        return sorted(key for key, task in self.tasks.items() if task.state in states)

    def add(self, key: str, after: Collection[str], rule: str, batch: str | None) -> None:
        """Enqueue a task."""
        task = self.tasks[key] = Known(TaskState.PARKED if after else TaskState.READY, set(after), rule, batch)
        for parent in sorted(after):
            known = self.tasks.get(parent)
            if known is None or known.state in FINISHED:
                self._tell(key, task, parent, ok=known is not None and known.state is OK)
        self._call_back()

    def takes(self, batch: str) -> bool:
        """Whether a batch takes members."""
        return self.tasks[batch].state is TaskState.PARKED

    def open(self, key: str, batch: str | None) -> None:
        """Open a batch."""
        self.tasks[key] = Known(TaskState.PARKED, batch=batch, open=True)

    def close(self, key: str) -> None:
        """Close a batch."""
        self.tasks[key].open = False
        self._call_back()

    def end(self, key: str, state: TaskState) -> None:
        """End a task; what waits for it is released or cancelled."""
        self._end(key, state)
        self._call_back()

    def delete(self, key: str) -> None:
        """Delete a task: to its children it is missing from now on."""
        if self.tasks[key].state in LIVE:
            self._end(key, TaskState.CANCELLED)
        del self.tasks[key]
        self._call_back()

    def rerun(self, key: str) -> None:
        """Run a task again, and let what was cancelled because of it wait once more, and so on."""
        self.tasks[key].state = TaskState.READY
        level = [key]
        while level:
            below = [
                child
                for child, task in self.tasks.items()
                if task.state is TaskState.CANCELLED and task.after & set(level)
            ]
            for child in below:
                self.tasks[child].state = TaskState.PARKED
            for child in below:
                for parent in sorted(self.tasks[child].after):
                    known = self.tasks.get(parent)
                    if known is None or known.state in FINISHED:
                        self._tell(child, self.tasks[child], parent, ok=known is not None and known.state is OK)
            level = below
        self._call_back()

    def _end(self, key: str, state: TaskState) -> None:
        self.tasks[key].state = state
        for child, task in self.tasks.items():
            if key in task.after:
                self._tell(child, task, key, ok=state is OK)

    def _tell(self, key: str, child: Known, parent: str, *, ok: bool) -> None:
        if child.state is not TaskState.PARKED or (not ok and child.rule == "wait"):
            return
        if not ok and child.rule == "cancel":
            self._end(key, TaskState.CANCELLED)
            return
        child.after.discard(parent)
        if not child.after:
            child.state = TaskState.READY

    def _call_back(self) -> None:
        for key, task in self.tasks.items():
            parked = task.open is False and task.state is TaskState.PARKED
            if parked and not any(one.batch == key and one.state in LIVE for one in self.tasks.values()):
                task.state = TaskState.READY
