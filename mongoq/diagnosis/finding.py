"""What a check found, and the whole of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Diagnosis", "Finding", "Level", "NotRun"]


class Level(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """Tasks do not run, or a promise is broken: mend it. `mongoq doctor` exits with 1."""
    WARNING = "warning"
    """Nothing is broken yet, or it mends itself: look at it."""
    NOTE = "note"
    """Somebody wants it so, such as a pause, or it is advice."""


class Finding(NamedTuple):
    """Something that is wrong, or that somebody should know."""

    check: str
    """The check that found it: `queue.unserved`. Its first part is the kind of thing that it is about."""
    level: Level
    """How bad it is."""
    about: str
    """The name of the thing: a queue, a worker, an index."""
    problem: str
    """What it is, in a sentence without its period."""
    effect: str
    """What it does to you."""
    advice: str
    """What to do."""
    command: str
    """What to type; empty where no command helps."""


class NotRun(NamedTuple):
    """A check that could not be run."""

    check: str
    """The check, by name."""
    reason: str
    """Why it could not be run."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `queue.diagnose()` found, the worst first."""

    findings: tuple[Finding, ...]
    """What was found."""
    not_run: tuple[NotRun, ...] = ()
    """The checks that could not be run here, by name."""

    @property
    def healthy(self) -> bool:
        """Whether nothing must be mended: there may be warnings and notes."""
        return not any(one.level is Level.FAULT for one in self.findings)
