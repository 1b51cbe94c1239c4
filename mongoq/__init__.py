"""mongoq: a task queue for teams that already run MongoDB.

from mongoq import Queue

queue = Queue("mongodb://localhost/shop", namespace="mail")
queue.new({"user": 42, "template": "welcome"}, priority=5)
queue.run(lambda task: print(task.tags["user"]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mongoq.backoff import Constant, Exponential, Ladder, Linear
from mongoq.buffer import Buffer
from mongoq.errors import (
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
from mongoq.lifecycle import TaskState
from mongoq.model import Attempt, QueueStats, Task, TaskError, WorkerInfo
from mongoq.modification import Change, Modification, Modified, TaskRef
from mongoq.new_task import NewTask
from mongoq.queue import Queue
from mongoq.signals import (
    Cancel,
    DeadlineExceeded,
    Fail,
    Interrupted,
    Interruption,
    Move,
    Retry,
    Signal,
    Snooze,
)
from mongoq.telemetry import Signpost

if TYPE_CHECKING:
    from mongoq.work.handle import WorkerHandle
    from mongoq.work.keepalive import Keepalive

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


def __getattr__(name: str) -> object:
    """Bring in what only workers and claims by hand need: a producer is spared half of the import."""
    if name == "WorkerHandle":
        from mongoq.work.handle import WorkerHandle  # noqa: PLC0415

        return WorkerHandle
    if name == "Keepalive":
        from mongoq.work.keepalive import Keepalive  # noqa: PLC0415

        return Keepalive
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
