"""The events of a queue: `queue.on(AttemptFailed, listener)` calls `listener(event)` for each.

QueueEvent                      whoever listens for it hears all
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

They are those of the workers of one queue object in this process, those of its child processes included. Listeners run
one after the other in a thread of their own: a slow one holds up no handler, no renewal and no stop. What a listener
raises is logged. Where they are too slow for 10,000 waiting events the newest are lost, and a log line says how many.
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
