"""Verbs of operators: pause and resume, and stop a worker from afar."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.errors import StorageError
from mongoq.core.validation import QUEUE_NAME, TASK_NAME, Checker, Duration
from mongoq.pausing.pause import Pause, Target, WorkerNotFound
from mongoq.storage.commands import Op
from mongoq.storage.operations.fleet import heartbeat
from mongoq.storage.operations.limits import holding
from mongoq.storage.operations.namespace import orders

log = logging.getLogger("mongoq.pausing")

LONGEST_TEXT: Final = 500


@verb
def pause(
    base: Base,
    queue: str | None = None,
    *,
    name: str | None = None,
    where: Mapping[str, str | int] | None = None,
    everything: bool = False,
    reason: str | None = None,
    until: datetime | Duration | None = None,
    by: str | None = None,
) -> Op[Pause]:
    """Stop claims of the tasks of a queue, a name, a value of a tag, or all, until they are resumed; return the pause.

    It takes effect in the whole fleet within 2 s, for workers, also those that start later, and for claims by hand,
    except `claim(key=...)`. Running tasks go on, and tasks that a worker has prefetched (0.1 s of work) still start.
    Paused tasks can be enqueued, cancelled and shown, and they expire.

    Args:
        queue: this queue; or
        name: the tasks of this name, in any queue.
        where: the tasks with this value of a tag, such as `{"tenant": "acme"}`: one tag, whose value is a string, an
            integer or a boolean.
        everything: all queues of the namespace.
        reason: why, shown with the pause.
        until: when it ends by itself, an instant or a duration from now. Default: never.
        by: who pauses. Default: `claimant` of this object.

    Claims park the tasks of a paused name or value that they find, so that each is read once. The first such pause
    builds two indexes for that. In a namespace of more than 100,000 tasks it does not: the pause is in force all the
    same, but claims read the tasks that they pass over until `mongoq init` has built them; `walked_over` tells of it.

    Raises:
        ConfigurationError: not exactly one of queue, name, where and everything is given, or an argument is not
            acceptable.
    """
    checker = Checker()
    target = _target(checker, queue, name, where, everything=everything)
    for field, text in (("reason", reason), ("by", by)):
        if text is not None:
            checker.text(field, text, LONGEST_TEXT)
    end: Any = until
    if until is not None:
        end = checker.instant("until", until) if isinstance(until, datetime) else checker.duration("until", until)
    checker.finish()
    if isinstance(end, timedelta):
        end = base.context.clock.now() + end
    told = {"reason": reason, "until": end, "by": by or base.claimant}
    paused = yield from base.read(orders.pause(base.context, target, told))
    return (yield from _parking(base, paused)) if target.parks else paused


@verb
def resume(
    base: Base,
    queue: str | None = None,
    *,
    name: str | None = None,
    where: Mapping[str, str | int] | None = None,
    everything: bool = False,
) -> Op[bool]:
    """End the pause of a queue, a name, a value of a tag, or of everything; return whether there was one.

    `everything` ends the pause of everything only; pauses of single queues, names and values stay.

    Raises:
        ConfigurationError: not exactly one of queue, name, where and everything is given, or an argument is not
            acceptable.
    """
    checker = Checker()
    target = _target(checker, queue, name, where, everything=everything)
    checker.finish()
    resumed = yield from base.read(orders.resume(base.context, target))
    if target.parks:
        yield from base.read(holding.let_go(base.context, target))
    base.call()
    return resumed


@verb
def pauses(base: Base) -> Op[list[Pause]]:
    """Return the pauses that are in force."""
    found = yield from base.read(orders.read(base.context))
    now = base.context.clock.now()
    return sorted((one for one in found.pauses if one.holds(now)), key=str)


@verb
def stop_worker(base: Base, worker: str) -> Op[list[str]]:
    """Ask a worker process, on any host, to end; return the ids of the workers in it, of which there may be several.

    It claims nothing more from 2 s after the call on, and stops when its running handlers have ended.

    Args:
        worker: its `id` as in `workers()`, or `host:pid`.

    Raises:
        WorkerNotFound: no worker that has sent a heartbeat within the last minute is called so.
    """
    checker = Checker()
    checker.text("worker", worker, LONGEST_TEXT)
    checker.finish()
    known = yield from base.read(heartbeat.workers(base.context))
    asked = [one.id for one in known if worker in (one.id, one.id.rpartition(":")[0])]
    if not asked:
        raise WorkerNotFound(f"no worker is called {worker!r}; `mongoq workers` lists them as host and pid")
    for one in asked:
        yield from base.read(orders.stop(base.context, one, base.claimant))
    return asked


def _parking(base: Base, paused: Pause) -> Op[Pause]:
    """Let claims park what this pause holds back; it is in force, whatever becomes of the indexes for that."""
    try:
        yield from base.read(holding.begin(base.context))
    except StorageError as error:
        if paused.walked_over:
            log.warning("%s: claims read what is paused when they pass over it: %s", paused, error)
        return paused
    return replace(paused, walked_over=False)


def _target(
    checker: Checker, queue: str | None, name: str | None, where: Mapping[str, Any] | None, *, everything: bool
) -> Target:
    """What is to be paused or resumed: exactly one of these."""
    all_given = (("queue", queue), ("name", name), ("where", where), ("everything", everything or None))
    given = [field for field, value in all_given if value is not None]
    if len(given) != 1:
        allowed = "one of: a queue, name=..., where={tag: value}, everything=True"
        checker.refuse("queue", " and ".join(given) or "nothing", allowed)
    if queue is not None:
        checker.matching("queue", queue, QUEUE_NAME)
    if name is not None:
        checker.matching("name", name, TASK_NAME)
    tag, value = None, None
    if where is not None:
        checker.tags("where", where)
        one = isinstance(where, Mapping) and len(where) == 1
        if not one or type(next(iter(where.values()))) not in (str, int, bool):
            checker.refuse("where", where, 'one tag with a text, an integer or a boolean, as {"tenant": "acme"}')
        else:
            ((tag, value),) = where.items()
            checker.text("where", str(value), LONGEST_TEXT)
    return Target(queue, name, tag, value)
