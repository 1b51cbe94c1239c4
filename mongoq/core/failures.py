"""Describe errors as text that can be stored: cut to size, valid UTF-8, whatever the error's own methods do."""

from __future__ import annotations

import traceback
from datetime import datetime
from typing import Final

from mongoq.core.signals import Signal
from mongoq.core.tasks.task import Task, TaskError
from mongoq.core.validation import shortened

__all__ = ["LONGEST_MESSAGE", "LONGEST_TRACEBACK", "Described", "describe", "message_of", "task_error", "text_of"]

LONGEST_MESSAGE: Final = 2_000
"""Characters kept of an error's message."""
LONGEST_TRACEBACK: Final = 8_000
"""Characters kept of the end of its traceback."""


class Described(Exception):
    """An error in words. It stands for an error of another process, which may not survive pickling."""

    def __init__(self, kind: str, message: str, frames: str) -> None:
        super().__init__(kind, message, frames)
        self.kind = kind
        self.message = message
        self.frames = frames
        self.refused: str | None = None
        """The option by which it is not retried, as far as its own process could tell."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


def describe(error: BaseException) -> Described:
    """Describe an error; for a signal that was raised from an error, describe that error."""
    if isinstance(error, Signal) and error.__cause__:
        error = error.__cause__
    if isinstance(error, Described):
        return error
    return in_words(error, frames=not isinstance(error, Signal))


def in_words(error: BaseException, *, frames: bool = True) -> Described:
    """Describe any error, whatever its own attributes do."""
    told = _traceback(error) if frames else ""
    return Described(type(error).__name__, message_of(error), _clean(told[-LONGEST_TRACEBACK:]))


def task_error(error: BaseException, task: Task, now: datetime, worker: str) -> TaskError:
    """Describe the error of the current attempt of `task`."""
    described = describe(error)
    trace = None if task.attempt is None else task.attempt.trace
    return TaskError(described.kind, described.message, described.frames, now, task.attempts, worker, trace)


def message_of(value: object) -> str:
    """The text of a value, at most `LONGEST_MESSAGE` characters."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 -- a user's own __str__ may raise anything
        text = "(its text could not be made)"
    return _clean(text[:LONGEST_MESSAGE])


def text_of(value: object, longest: int = LONGEST_MESSAGE) -> str:
    """The `repr` of a value, at most so many characters."""
    return _clean(shortened(value, longest))


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 -- as above: formatting calls the error's own methods
        return ""


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
