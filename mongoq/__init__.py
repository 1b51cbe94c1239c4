"""mongoq: a task queue for teams that already run MongoDB.

from mongoq import Queue

queue = Queue("mongodb://localhost/shop", namespace="mail")
queue.new({"user": 42, "template": "welcome"}, priority=5)
queue.run(lambda task: print(task.tags["user"]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mongoq import rooms
from mongoq.core.backoff import Constant, Exponential, Ladder, Linear
from mongoq.core.errors import (
    ConfigurationError,
    Conflict,
    DependencyError,
    DuplicateTask,
    Fault,
    IndexMissing,
    InvalidTask,
    LeaseLost,
    MongoqError,
    QueueClosed,
    Role,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    TaskNotFound,
    Unsupported,
    WrongState,
)
from mongoq.core.events import Signpost
from mongoq.core.lifecycle import TaskState
from mongoq.core.new_task import NewTask
from mongoq.core.signals import Cancel, DeadlineExceeded, Fail, Interrupted, Interruption, Move, Retry, Signal, Snooze
from mongoq.core.task import Attempt, QueueStats, Task, TaskError, WorkerInfo
from mongoq.queue import Queue

if TYPE_CHECKING:
    from mongoq.api.buffer import Buffer
    from mongoq.core.modification import Change, Modification, Modified, TaskRef
    from mongoq.worker.handle import WorkerHandle
    from mongoq.worker.manual.keepalive import Keepalive

__version__ = "0.1.0"

__all__ = [
    "Attempt",
    "Buffer",
    "Cancel",
    "Change",
    "ConfigurationError",
    "Conflict",
    "Constant",
    "DeadlineExceeded",
    "DependencyError",
    "DuplicateTask",
    "Exponential",
    "Fail",
    "Fault",
    "IndexMissing",
    "Interrupted",
    "Interruption",
    "InvalidTask",
    "Keepalive",
    "Ladder",
    "LeaseLost",
    "Linear",
    "Modification",
    "Modified",
    "MongoqError",
    "Move",
    "NewTask",
    "Queue",
    "QueueClosed",
    "QueueStats",
    "Retry",
    "Role",
    "Signal",
    "Signpost",
    "Snooze",
    "StorageError",
    "StorageRefused",
    "StorageUnavailable",
    "Task",
    "TaskError",
    "TaskNotFound",
    "TaskRef",
    "TaskState",
    "Unsupported",
    "WorkerHandle",
    "WorkerInfo",
    "WrongState",
]


_LATER: Final = {
    "Buffer": "buffer",
    "Change": "modification",
    "Keepalive": "keepalive",
    "Modification": "modification",
    "Modified": "modification",
    "TaskRef": "modification",
    "WorkerHandle": "handle",
}
"""What a plain producer is spared, and its room."""

if not TYPE_CHECKING:  # or a misspelt name would pass for any of these

    def __getattr__(name: str) -> Any:
        """Bring in what is needed later, if at all."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(getattr(rooms, _LATER[name]), name)

    def __dir__() -> list[str]:
        """All names, those that come later as well."""
        return sorted({*globals(), *__all__})
