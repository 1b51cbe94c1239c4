"""mongoq: a task queue for teams that already run MongoDB.

from mongoq import Queue

queue = Queue("mongodb://localhost/shop", namespace="mail")
queue.new({"user": 42, "template": "welcome"}, priority=5)
queue.run(lambda task: print(task.tags["user"]))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mongoq.api.buffer import AsyncBuffer, Buffer
from mongoq.api.closing import shutdown
from mongoq.api.running import AsyncWorkerHandle
from mongoq.async_queue import AsyncQueue
from mongoq.auditing.entry import AuditEntry
from mongoq.core.errors import (
    AlreadyFinished,
    ConfigurationError,
    DuplicateTask,
    Fault,
    IndexMissing,
    InvalidTask,
    LeaseLost,
    MongoqError,
    NewerFormat,
    QueueClosed,
    QueueFull,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    TaskNotFound,
    Unsupported,
    WrongState,
)
from mongoq.core.events import Signpost
from mongoq.core.host.health import WorkerHealth
from mongoq.core.judging.backoff import Constant, Exponential, Ladder, Linear
from mongoq.core.judging.done import Done
from mongoq.core.judging.ended import MaxRetriesExceeded, TaskCancelled, TaskExpired, TaskFailed, TaskNotCompleted
from mongoq.core.lifecycle import TaskState
from mongoq.core.signals import (
    Cancel,
    DeadlineExceeded,
    Fail,
    Interrupted,
    Interruption,
    Move,
    Retry,
    Signal,
    Snooze,
    Stop,
)
from mongoq.core.stats import Progress, QueueStats, WorkerInfo
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.modification import Change, Modification, Modified, TaskRef
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.progress import LogLine, TaskProgress
from mongoq.core.tasks.task import Attempt, Failure, Task, TaskError
from mongoq.default import default_queue, task
from mongoq.diagnosis.finding import Diagnosis, Finding
from mongoq.flow.batch import Batch, BatchFinished, BatchNotFound
from mongoq.flow.verbs import AsyncOpenBatch, OpenBatch
from mongoq.functions.function import AsyncTaskFunction, TaskFunction
from mongoq.functions.handle import AsyncTaskHandle, TaskHandle
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.history.point import HistoryPoint, HistoryStep, Timing
from mongoq.limiting.limit import Limit, LimitGroup, LimitNotFound
from mongoq.limiting.use import LimitStats
from mongoq.paging.page import TaskPage
from mongoq.pausing.pause import Pause, WorkerNotFound
from mongoq.queue import Queue
from mongoq.scheduling.schedule import Schedule, ScheduleNotFound

if TYPE_CHECKING:
    __version__: str

    from mongoq.worker.handle import WorkerHandle
    from mongoq.worker.manual.keepalive import Keepalive

__all__ = [
    "AlreadyFinished",
    "AsyncBuffer",
    "AsyncOpenBatch",
    "AsyncQueue",
    "AsyncTaskFunction",
    "AsyncTaskHandle",
    "AsyncTasks",
    "AsyncWorkerHandle",
    "Attempt",
    "AuditEntry",
    "Batch",
    "BatchFinished",
    "BatchNotFound",
    "Buffer",
    "Cancel",
    "Change",
    "ConfigurationError",
    "Conflict",
    "Constant",
    "DeadlineExceeded",
    "DependencyError",
    "Diagnosis",
    "Done",
    "DuplicateTask",
    "Exponential",
    "Fail",
    "Failure",
    "Fault",
    "Finding",
    "HistoryPoint",
    "HistoryStep",
    "IndexMissing",
    "Interrupted",
    "Interruption",
    "InvalidTask",
    "Keepalive",
    "Ladder",
    "LeaseLost",
    "Limit",
    "LimitGroup",
    "LimitNotFound",
    "LimitStats",
    "Linear",
    "LogLine",
    "MaxRetriesExceeded",
    "Modification",
    "Modified",
    "MongoqError",
    "Move",
    "NewTask",
    "NewerFormat",
    "OpenBatch",
    "Pause",
    "Progress",
    "Queue",
    "QueueClosed",
    "QueueFull",
    "QueueStats",
    "Retry",
    "Role",
    "Schedule",
    "ScheduleNotFound",
    "Signal",
    "Signpost",
    "Snooze",
    "Stop",
    "StorageError",
    "StorageRefused",
    "StorageUnavailable",
    "Task",
    "TaskCancelled",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskFunction",
    "TaskHandle",
    "TaskNotCompleted",
    "TaskNotFound",
    "TaskPage",
    "TaskProgress",
    "TaskRef",
    "TaskState",
    "Tasks",
    "Timing",
    "Unsupported",
    "WorkerHandle",
    "WorkerHealth",
    "WorkerInfo",
    "WorkerNotFound",
    "WrongState",
    "default_queue",
    "shutdown",
    "task",
]

_OF_WORKER: Final = {"Keepalive": "mongoq.worker.manual.keepalive", "WorkerHandle": "mongoq.worker.handle"}

if not TYPE_CHECKING:  # or a misspelt name would pass for either

    def __getattr__(name: str) -> Any:
        """Give what few ask for: a name of the worker, whose import takes as long as mongoq's own, or the version."""
        if name == "__version__":
            return import_module("importlib.metadata").version(__name__)
        if name not in _OF_WORKER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_OF_WORKER[name]), name)

    def __dir__() -> list[str]:
        """All names, those of the worker as well."""
        return sorted({*globals(), *__all__})
