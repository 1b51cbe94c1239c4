"""The life of a task as a table; filters, tests and the diagram in the docs are made from it.

No other module spells the name of a state.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["FINISHED", "LIVE", "TRANSITIONS", "Event", "TaskState", "Transition", "sources"]


class TaskState(StrEnum):
    """The state of a task."""

    PARKED = "parked"
    """It waits for something else than time: parents, the members of its batch, or its turn under a limit."""
    SCHEDULED = "scheduled"
    """It waits for its `run_at`."""
    READY = "ready"
    """It may be claimed now."""
    RUNNING = "running"
    """A worker holds it under a lease."""
    COMPLETED = "completed"
    """Its handler returned."""
    FAILED = "failed"
    """Its retries are used up, or its handler raised `Fail`."""
    EXPIRED = "expired"
    """It was not completed before `expires_at`."""
    CANCELLED = "cancelled"
    """It was cancelled by a caller or by its handler."""


class Event(StrEnum):
    """What happens to a task."""

    NEW = "new"
    CLAIM = "claim"
    RENEW = "renew"
    COMPLETE = "complete"
    RETRY = "retry"
    SNOOZE = "snooze"
    FAIL = "fail"
    RELEASE = "release"
    MOVE = "move"
    PROMOTE = "promote"
    RESCUE = "rescue"
    EXPIRE = "expire"
    CANCEL = "cancel"
    CHANGE = "change"
    RERUN = "rerun"
    PARK = "park"
    UNPARK = "unpark"
    ADMIT = "admit"


class Transition(NamedTuple):
    """One row of the table."""

    event: Event
    sources: tuple[TaskState, ...]
    target: TaskState
    when: str


_S = TaskState
TRANSITIONS: Final = (
    Transition(Event.NEW, (), _S.READY, "due now"),
    Transition(Event.NEW, (), _S.SCHEDULED, "delayed"),
    Transition(Event.NEW, (), _S.PARKED, "it waits for others"),
    Transition(Event.PARK, (_S.READY,), _S.PARKED, "a limit that it is under is full"),
    Transition(Event.UNPARK, (_S.PARKED,), _S.READY, "its parents have ended, or its limit has room"),
    Transition(Event.UNPARK, (_S.PARKED,), _S.SCHEDULED, "the same, and it is delayed"),
    Transition(Event.UNPARK, (_S.PARKED,), _S.COMPLETED, "a batch that needs no callback has ended"),
    Transition(Event.PROMOTE, (_S.SCHEDULED,), _S.READY, "run_at has come"),
    Transition(Event.CLAIM, (_S.READY,), _S.RUNNING, "a worker takes it"),
    Transition(Event.ADMIT, (_S.PARKED,), _S.RUNNING, "a worker gives it the slot that came free"),
    Transition(Event.RENEW, (_S.RUNNING,), _S.RUNNING, "its worker lives"),
    Transition(Event.COMPLETE, (_S.RUNNING,), _S.COMPLETED, "the handler returned"),
    Transition(Event.RETRY, (_S.RUNNING,), _S.SCHEDULED, "the handler raised"),
    Transition(Event.SNOOZE, (_S.RUNNING,), _S.SCHEDULED, "the handler asked, uncharged"),
    Transition(Event.FAIL, (_S.RUNNING,), _S.FAILED, "retries used up, or Fail"),
    Transition(Event.RELEASE, (_S.RUNNING,), _S.READY, "given back, uncharged"),
    Transition(Event.MOVE, (_S.RUNNING,), _S.READY, "sent to another queue"),
    Transition(Event.RESCUE, (_S.RUNNING,), _S.READY, "lost among many, uncharged"),
    Transition(Event.RESCUE, (_S.RUNNING,), _S.SCHEDULED, "lost alone, charged"),
    Transition(Event.RESCUE, (_S.RUNNING,), _S.FAILED, "lost too often"),
    Transition(Event.EXPIRE, (_S.PARKED, _S.SCHEDULED, _S.READY, _S.RUNNING), _S.EXPIRED, "expires_at has passed"),
    Transition(Event.CANCEL, (_S.PARKED, _S.SCHEDULED, _S.READY, _S.RUNNING), _S.CANCELLED, "somebody asked"),
    Transition(Event.CHANGE, (_S.SCHEDULED, _S.RUNNING), _S.READY, "modify, due now"),
    Transition(Event.CHANGE, (_S.READY, _S.RUNNING), _S.SCHEDULED, "modify, put off"),
    Transition(Event.CHANGE, (_S.PARKED,), _S.PARKED, "modify, it waits on"),
    Transition(Event.RERUN, (_S.CANCELLED,), _S.PARKED, "its parent is run again"),
    Transition(Event.RERUN, (_S.FAILED, _S.CANCELLED, _S.EXPIRED), _S.READY, "an operator tries again"),
)

FINISHED: Final = (_S.COMPLETED, _S.FAILED, _S.EXPIRED, _S.CANCELLED)
LIVE: Final = (_S.PARKED, _S.SCHEDULED, _S.READY, _S.RUNNING)
WAITING: Final = (_S.PARKED, _S.SCHEDULED, _S.READY)
"""The states in which a sweep or a cancel may end a task without asking a worker."""


def sources(event: Event) -> tuple[TaskState, ...]:
    """The states in which `event` may happen, each once."""
    return tuple(dict.fromkeys(state for row in TRANSITIONS if row.event is event for state in row.sources))


def targets(event: Event) -> tuple[TaskState, ...]:
    """The states to which `event` may lead, each once; a test compares the updates with them."""
    return tuple(dict.fromkeys(row.target for row in TRANSITIONS if row.event is event))


def diagram() -> str:
    """The table as a Mermaid state diagram, for the README."""
    lines = ["stateDiagram-v2"]
    for row in TRANSITIONS:
        lines += [f"    {source} --> {row.target}: {row.event}, {row.when}" for source in row.sources or ("[*]",)]
    lines += [f"    {state} --> [*]" for state in FINISHED]
    return "\n".join(lines)
