"""When a child is replaced although nothing is wrong with it: libraries that leak are run in one that ends in time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.validation import Checker

if TYPE_CHECKING:
    from mongoq.worker.executors.children.process import ChildProcess

MOST_TASKS: Final = 10**9
WEIGH_EVERY: Final = 0.1
"""Seconds between two looks at the memory of a child; each takes 15 µs."""


@dataclass(frozen=True, slots=True)
class Wear:
    """How long children are used; None: as long as their worker."""

    tasks: int | None = None
    """How many tasks one child runs."""
    memory: int | None = None
    """How many bytes of memory it may have between two tasks."""

    def told(self, child: ChildProcess) -> str | None:
        """Why a child is to be replaced after the tasks that it has; None: it is not."""
        if self.tasks is not None and child.given >= self.tasks:
            return f"it was given {child.given:,} tasks"
        if self.memory is None or not child.given or elapsed() < child.weigh_at:
            return None
        child.weigh_at = elapsed() + WEIGH_EVERY
        size = memory_of(child.pid)
        return None if size is None or size <= self.memory else f"it has {size // 2**20:,} MiB of memory"

    def left(self, child: ChildProcess) -> int:
        """How many more tasks a child may be given."""
        return MOST_TASKS if self.tasks is None else self.tasks - child.given


NO_WEAR: Final = Wear()


def check_no_wear(wear: Wear, executor: str) -> None:
    """Raise ConfigurationError where an executor has no children to be replaced."""
    checker = Checker()
    for name, value in (("max_tasks_per_child", wear.tasks), ("max_memory_per_child", wear.memory)):
        if value is not None:
            checker.refuse(name, value, f"an option of executor={executor!r}: only 'processes' has children")
    checker.finish()


def memory_of(pid: int) -> int | None:
    """The bytes of memory that a process has (resident); None where that is not known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def checked_wear(checker: Checker, tasks: Any, memory: Any) -> Wear:
    """Check the options of `run`."""
    if tasks is not None:
        checker.integer("max_tasks_per_child", tasks, 1, MOST_TASKS)
    if memory is not None:
        checker.integer("max_memory_per_child", memory, 2**20, 2**50)
        if memory_of(os.getpid()) is None:
            checker.refuse("max_memory_per_child", memory, "available here: the memory of a process is read in /proc")
    return Wear(tasks, memory)
