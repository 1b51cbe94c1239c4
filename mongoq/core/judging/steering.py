"""Which of all that a handler raised steers its task.

A signal counts also as the cause of another exception, by `raise X from signal`: the task is steered by the signal, and
its error tells of X. An exception group, as `asyncio.TaskGroup` raises it, stands for the strongest of what it holds at
any depth: Stop, Fail, Cancel, Move, Interrupted, Retry, any other error (a deadline too), Snooze.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.core.failures import in_words
from mongoq.core.host.tracebacks import cause_of, parts_of
from mongoq.core.signals import Cancel, Fail, Interrupted, Interruption, Move, Retry, Signal, Snooze, Stop

__all__ = ["effective_error", "is_interruption", "leaves", "links", "strongest"]

STRONGEST: Final = (Stop, Fail, Cancel, Move, Interrupted, Retry, BaseException, Snooze)
"""What steers a task, the strongest first. Any other error outweighs a Snooze, which would not charge the attempt."""


def leaves(error: BaseException) -> list[BaseException]:
    """The error, or what an exception group holds at any depth."""
    found, stack = [], [error]
    while stack:
        one = stack.pop()
        parts = parts_of(one)
        stack += reversed(parts)
        if not parts:
            found.append(one)
    return found


def links(error: BaseException, seen: set[int] | None = None) -> Iterator[BaseException]:
    """An error and what it was raised from, by `raise ... from`; without those whose ids were `seen`."""
    seen = set() if seen is None else seen
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = cause_of(link)


def strongest(error: BaseException) -> BaseException:
    """What steers the task: a signal, or one that the error was raised from; then its cause is the error.

    Of a group it is the strongest signal, of equals the one with the longest delay. A group whose strongest is an
    ordinary error stands for itself: its traceback shows all of them.
    """
    return _steering(error, set())


def is_interruption(error: BaseException) -> bool:
    """Whether an error says that its handler was to stop, but for a deadline, which is a failure."""
    return isinstance(error, Interrupted) and error.reason is not Interruption.DEADLINE


def _steering(error: BaseException, seen: set[int]) -> BaseException:
    for link in links(error, seen):
        found = link
        if held := parts_of(link):
            parts = [_steering(part, seen) for part in held]
            found = min(parts, key=lambda part: (_rank(part), -_delay(part)))
        if link is error and isinstance(found, Signal | Interrupted):
            return found
        if isinstance(found, Signal) or is_interruption(found):
            return _raised_as(found, error)
    return error


def _raised_as(signal: BaseException, error: BaseException) -> BaseException:
    """The signal that an error was raised from, with that error as its cause."""
    try:
        told = copy.copy(signal)
    except Exception:  # noqa: BLE001 -- what a user's own signal raises when it is copied
        return signal
    told.__cause__ = error
    return told


def effective_error(error: BaseException, retry_as: Snooze | None) -> BaseException:
    """What an error stands for: of a group its strongest signal, `retry_as` where that was raised from it, else itself.

    Beside the error of an aborted transaction a group may hold others, raised because of it: only a signal that ends
    the task or the worker outweighs `retry_as`.
    """
    try:
        found = strongest(error)
    except Exception:  # noqa: BLE001 -- its own attributes raise, or its groups are nested deeper than Python calls
        return _by_its_leaves(error)
    if retry_as is None or not any(leaf is retry_as.__cause__ for leaf in leaves(error)):
        return found
    return found if isinstance(found, Stop | Fail | Cancel | Move) and found is not error else retry_as


def _by_its_leaves(error: BaseException) -> BaseException:
    """The strongest signal that a group holds; else the error in words, which ask nothing of it any more."""
    signals = [leaf for leaf in leaves(error) if issubclass(type(leaf), Signal | Interrupted)]
    return min(signals, key=_rank) if signals else in_words(error)


def _rank(error: BaseException) -> int:
    if isinstance(error, Interrupted) and error.reason is Interruption.DEADLINE:
        return STRONGEST.index(BaseException)
    kind = Snooze if isinstance(error, Snooze) else next(kind for kind in STRONGEST if isinstance(error, kind))
    return STRONGEST.index(kind)


def _delay(error: BaseException) -> float:
    delay = getattr(error, "delay", None) if isinstance(error, Retry | Snooze) else None
    return delay.total_seconds() if isinstance(delay, timedelta) else 0.0
