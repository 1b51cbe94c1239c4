"""How far an attempt has come in this process, as a table: the ledger has one method for each event.

::

    claimed ──▶ waiting ──▶ running ──▶ ended ──▶ written
       └───────────┴───────────┴──▶ lost ◀─┘
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from mongoq.core.judging.verdict import Verdict
from mongoq.storage.operations.modify.following import follows

if TYPE_CHECKING:
    from mongoq.worker.attempt import LiveAttempt


class Stage(StrEnum):
    """How far an attempt has come in this process."""

    CLAIMED = "claimed"
    """Its lease is held."""
    WAITING = "waiting"
    """It waits for a handler that is free."""
    RUNNING = "running"
    """Its handler runs."""
    ENDED = "ended"
    """Its verdict is decided, and not written yet."""
    WRITTEN = "written"
    """Its verdict is in the database."""
    LOST = "lost"
    """Its lease is over, or belongs to another claimant."""


class Transition(NamedTuple):
    """One row of the table of stages."""

    event: str
    sources: tuple[Stage, ...]
    target: Stage
    when: str


_S = Stage
TRANSITIONS: Final = (
    Transition("claim", (), _S.CLAIMED, "a reply, or a look back, brought it"),
    Transition("wait", (_S.CLAIMED,), _S.WAITING, "the executor has it"),
    Transition("start", (_S.WAITING,), _S.RUNNING, "its handler starts"),
    Transition("end", (_S.CLAIMED, _S.WAITING, _S.RUNNING), _S.ENDED, "its handler ended, or it is released"),
    Transition("written", (_S.ENDED,), _S.WRITTEN, "MongoDB has taken the ending"),
    Transition("written", (_S.ENDED,), _S.LOST, "MongoDB has refused the ending"),
    Transition("lose", (_S.CLAIMED, _S.WAITING, _S.RUNNING), _S.LOST, "its lease is over or another's"),
    Transition("reopen", (_S.ENDED,), _S.CLAIMED, "its ending by hand could not be written"),
)
HELD: Final = (_S.CLAIMED, _S.WAITING, _S.RUNNING, _S.ENDED)
"""The stages of an attempt whose lease is renewed."""


class Wake(Enum):
    """What is worth waking after a change."""

    NEWS = auto()
    """One task has just come to an idle process."""
    WORK = auto()
    """There may be work: look now."""
    EMPTY = auto()
    """The last attempt is gone: a burst may be over."""
    ROOM = auto()
    """There is more room: claim where that is worth the trip."""
    ENDINGS = auto()
    """There are endings to be written now."""
    SCHEDULED = auto()
    """A task was scheduled, maybe for sooner than all others."""
    SCHEDULES = auto()
    """A schedule was written, maybe with a tick sooner than all others."""
    DEADLINE = auto()
    """A handler has a new deadline."""


class Completion(NamedTuple):
    """An attempt that has ended, with what is to be written."""

    attempt: LiveAttempt
    verdict: Verdict

    @property
    def changes(self) -> bool:
        """Whether it takes a transaction: its handler returned a change, or something is to follow the task."""
        verdict, follow_up = self.verdict, self.attempt.policy.on_complete
        return verdict.modification is not None or (follow_up is not None and follows(follow_up, verdict))
