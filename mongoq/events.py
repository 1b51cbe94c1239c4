"""The events of a queue: `queue.on(AttemptFailed, listener)` calls `listener(event)` for each.

QueueEvent                      the base: a listener for it gets all events
├── WorkerStarted, WorkerStopped
├── AttemptStarted
├── AttemptEnded                however the attempt ended
│   ├── AttemptSucceeded
│   └── AttemptFailed
├── AttemptLost                 the lease of a running task is gone
├── EndingRefused               what a handler returned was refused
├── TaskEnded                   a task has reached a final state, and that is written
├── TasksSwept
└── ServerLost, ServerBack

A queue object emits the events of its own workers in this process, including those of child processes. Listeners run
one after the other in a separate thread, so a slow one delays no handler, renewal or stop. An error in a listener is
logged. When 10,000 events are waiting, new ones are dropped, and a log line says how many.
"""

from __future__ import annotations

from mongoq.core.listening.kinds import (
    AttemptEnded,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptSucceeded,
    EndingRefused,
    QueueEvent,
    ServerBack,
    ServerLost,
    TaskEnded,
    TasksSwept,
    WorkerStarted,
    WorkerStopped,
)

__all__ = [
    "AttemptEnded",
    "AttemptFailed",
    "AttemptLost",
    "AttemptStarted",
    "AttemptSucceeded",
    "EndingRefused",
    "QueueEvent",
    "ServerBack",
    "ServerLost",
    "TaskEnded",
    "TasksSwept",
    "WorkerStarted",
    "WorkerStopped",
]
