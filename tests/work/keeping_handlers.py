"""Handlers that leave a context, objects or a group of errors behind."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import gc
import weakref
from collections.abc import Callable
from typing import Any

from mongoq import (
    Cancel,
    Fail,
    Move,
    Retry,
    Snooze,
    Task,
)

SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("SEEN", default="nothing")


def leaves_a_context(task: Task) -> list[Any]:
    """Tell what is set, and set it."""
    found = [decimal.getcontext().prec, SEEN.get()]
    decimal.getcontext().prec = 3
    SEEN.set(task.key)
    return found


async def leaves_a_context_on_a_loop(task: Task) -> list[Any]:
    return leaves_a_context(task)


def leaves_a_context_and_fails_once(task: Task) -> list[Any]:
    found = leaves_a_context(task)
    if task.attempts == 1:
        raise ValueError("once more")
    return found


async def leaves_a_context_and_fails_once_on_a_loop(task: Task) -> list[Any]:
    return leaves_a_context_and_fails_once(task)


class Held:
    """What a failing handler holds."""


HELD: list[weakref.ref[Held]] = []


def holds_and_fails(task: Task) -> int:
    """Fail holding an object, in the way that the task says; at the end, how many of them are still there."""
    gc.disable()
    if task.tags["how"] == "count":
        found = sum(ref() is not None for ref in HELD)
        HELD.clear()
        gc.enable()
        return found
    held = Held()
    HELD.append(weakref.ref(held))
    kept: Exception = OSError()
    try:
        raise KeyError("nothing")
    except KeyError as error:
        kept = error  # it refers to this frame, and this frame to it
        if task.tags["how"] == "cause":
            raise ValueError("from another") from error
    if task.tags["how"] == "group":
        raise BaseExceptionGroup("several", [kept, OSError("one more")])
    if task.tags["how"] == "signal":
        raise Fail("enough") from kept
    raise kept


async def holds_and_fails_on_a_loop(task: Task) -> int:
    return holds_and_fails(task)


def groups(task: Task) -> None:
    """Raise a group of the signals that the task names."""
    made: dict[str, Callable[[], BaseException]] = {
        "retry": lambda: Retry("later", delay=600),
        "snooze": lambda: Snooze(600, "wait"),
        "fail": lambda: Fail("no use"),
        "cancel": lambda: Cancel("no need"),
        "move": lambda: Move("mail/err", "wrong"),
        "error": lambda: ValueError("broken"),
    }
    if task.attempts == 1:
        raise BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [made[kind]() for kind in task.tags["kinds"]])])


async def groups_on_a_loop(task: Task) -> None:
    await in_a_task_group(groups, task)


async def in_a_task_group(function: Callable[[Task], Any], task: Task) -> None:
    async def one() -> None:
        function(task)

    async with asyncio.TaskGroup() as together:
        together.create_task(one())
        together.create_task(one())
