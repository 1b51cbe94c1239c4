"""Verbs of schedules: write one, list, pause, resume and delete them."""

from __future__ import annotations

from datetime import tzinfo
from typing import Final

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.fleet import SignalKind
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.validation import TASK_NAME, UNSET, Checker, Duration, Unset
from mongoq.scheduling.given import Given
from mongoq.scheduling.schedule import Schedule
from mongoq.storage.commands import Op
from mongoq.storage.operations.fleet import signals
from mongoq.storage.operations.schedules import keep

LONGEST_REASON: Final = 500


@verb
def schedule(
    base: Base,
    name: str,
    cron: str | Unset | None = UNSET,
    task: NewTask | Unset | None = UNSET,
    *,
    tz: str | tzinfo | Unset = UNSET,
    every: Duration | Unset | None = UNSET,
    catch_up: str | Duration | Unset = UNSET,
    jitter: Duration | Unset = UNSET,
    overlap: str | Unset | None = UNSET,
) -> Op[Schedule]:
    """Enqueue a task at each tick of a schedule, from any worker process, and return the schedule.

    It is kept in the database under its name, and in force in the whole fleet at once. With a `task` the call says
    all of the schedule, and takes the place of the one of this name; without one it changes that, and what is not given
    stays. One that says the same changes nothing; a paused schedule stays paused.

    Args:
        name: what it is called: a letter, then letters, digits and `_ . : / -`.
        cron: an expression of five fields, or six with the seconds first, or `@hourly`, `@daily`, `@weekly`,
            `@monthly`, `@yearly`; or
        every: an interval of at least 1 s; its ticks are counted from when the schedule was made.
        task: a `NewTask`, or the call of a task function such as `report.call()`, without key and times of its own. Its
            ticks have the keys `cron:<name>:<instant>`.
        tz: the time zone of the expression, by name. Default: UTC.
        catch_up: which of the ticks are enqueued that no worker was there for: `"latest"` (the default) the last one,
            `"none"` none that is later than a minute, `"all"` each, a duration each that is no older.
        jitter: the task of a tick is due up to so much later, by chance.
        overlap: while the task of the last tick has not finished, `"skip"` the tick (the default), or `"queue"` its
            task all the same (the default with `catch_up="all"` or a window).

    Raises:
        ConfigurationError: something is not acceptable; it lists everything, and nothing was written.
    """
    given = Given(name, cron, task, tz, every, catch_up, jitter, overlap).checked()
    return (yield from _told(base, keep.put(base.context, given)))


@verb
def schedules(base: Base) -> Op[list[Schedule]]:
    """All schedules by name, with their last and next ticks."""
    return (yield from base.read(keep.listed(base.context)))


@verb
def pause_schedule(base: Base, name: str, *, reason: str | None = None) -> Op[Schedule]:
    """Let a schedule tick no more until it is resumed, and return it; ticks of the meantime are not caught up.

    Raises ScheduleNotFound where there is none of this name.
    """
    checker = Checker()
    checker.matching("name", name, TASK_NAME)
    if reason is not None:
        checker.text("reason", reason, LONGEST_REASON)
    checker.finish()
    return (yield from base.write(keep.pause(base.context, name, base.claimant, reason)))


@verb
def resume_schedule(base: Base, name: str) -> Op[Schedule]:
    """Let a paused schedule tick again, from its next tick on, and return it.

    Raises ScheduleNotFound where there is none of this name.
    """
    return (yield from _told(base, keep.resume(base.context, _checked(name))))


@verb
def delete_schedule(base: Base, name: str) -> Op[None]:
    """Delete a schedule; tasks that it has enqueued stay.

    One of `@queue.cron` stays deleted until its definition in the code changes. Raises ScheduleNotFound where there is
    none of this name.
    """
    yield from base.write(keep.delete(base.context, _checked(name)))


def _told(base: Base, op: Op[Schedule]) -> Op[Schedule]:
    """Write a schedule, and let this object's own workers look at it."""
    written = yield from base.write(op)
    yield from base.read(signals.hint(base.context, SignalKind.SCHEDULES))
    for handle in base.handles:
        handle.tick()
    return written


def _checked(name: str) -> str:
    checker = Checker()
    checker.matching("name", name, TASK_NAME)
    checker.finish()
    return name
