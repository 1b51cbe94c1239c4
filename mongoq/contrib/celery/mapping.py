"""`map`, `starmap` and `chunks`: calls that run a task with many values; `builtin` has the tasks that do so."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from mongoq.contrib.celery.canvas import group
from mongoq.contrib.celery.registered import functions
from mongoq.contrib.celery.signatures import Signature, refusal

__all__ = ["MAP", "STARMAP", "Chunks", "chunks", "xmap", "xstarmap"]

MAP, STARMAP = "celery.map", "celery.starmap"


def xmap(task: Signature, it: Iterable[Any]) -> Signature:
    """One call that runs `task` with each value of `it`."""
    return _over(MAP, task, list(it))


def xstarmap(task: Signature, it: Iterable[Iterable[Any]]) -> Signature:
    """One call that runs `task` with each of the arguments in `it`."""
    return _over(STARMAP, task, [list(values) for values in it])


class Chunks(group):
    """A group of calls of `starmap`."""

    def group(self) -> group:
        """The group that it is."""
        return self


def chunks(task: Signature, it: Iterable[Iterable[Any]], n: int) -> Chunks:
    """Calls of `task` with the arguments in `it`, `n` of them run by one call."""
    if n < 1:
        raise refusal("chunks n", n, "a number from 1: how many runs are in one call")
    rest = iter(it)
    return Chunks([xstarmap(task, part) for part in iter(lambda: list(islice(rest, n)), [])])


def _over(kind: str, task: Signature, it: list[Any]) -> Signature:
    """The call goes where those of its task go."""
    kwargs: dict[str, Any] = {"task": task.task, "it": it}
    kwargs |= ({"args": list(task.args)} if task.args else {}) | ({"kwargs": task.kwargs} if task.kwargs else {})
    known = functions.by_name().get(task.task)
    queue = task.options.get("queue") or (known.owner.settings.get("queue") if known is not None else None)
    return Signature(kind, (), kwargs, {"queue": queue} if queue else {}, immutable=True)
