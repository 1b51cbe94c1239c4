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

    It is kept in the database under its name, and takes effect in the whole fleet at once. A call with a `task` defines
    the whole schedule and replaces the one of this name; a call without one changes it, and options that are not given
    stay. A call that repeats the stored definition changes nothing. A paused schedule stays paused.

    Args:
        name: a letter or `_`, then letters, digits and `_ . : / -`, at most 128 characters.
        cron: an expression of five fields, or six with the seconds first, or `@hourly`, `@daily`, `@weekly`,
            `@monthly`, `@yearly`; or
        every: an interval of at least 1 s; its ticks are counted from when the schedule was created.
        task: a `NewTask`, or the call of a task function such as `report.call()`, without key and times of its own. Its
            ticks have the keys `cron:<name>:<instant>`.
        tz: the time zone of the expression, by name. Default: UTC.
        catch_up: which ticks are enqueued late, after a time without workers: `"latest"` (the default) the last one,
            `"none"` none that is more than a minute late, `"all"` every one, a duration those that are no older.
        jitter: delay the task of each tick by a random time up to this. Default: 0.
        overlap: while the task of the last tick has not finished, `"skip"` the tick (the default), or `"queue"` its
            task beside the other (the default with `catch_up="all"` or a duration).

    Raises:
        ConfigurationError: something is not acceptable, or there is neither a `task` nor a schedule of this name; it
            lists everything, and nothing was written.
    """
    given = Given(name, cron, task, tz, every, catch_up, jitter, overlap).checked()
    return (yield from _told(base, keep.put(base.context, given)))


@verb
def schedules(base: Base) -> Op[list[Schedule]]:
    """Return all schedules, ordered by name, with their last and next ticks."""
    return (yield from base.read(keep.listed(base.context)))


@verb
def pause_schedule(base: Base, name: str, *, reason: str | None = None) -> Op[Schedule]:
    """Pause a schedule until it is resumed, and return it; its ticks of that time are not caught up.

    Raises:
        ScheduleNotFound: no schedule has this name.
    """
    checker = Checker()
    checker.matching("name", name, TASK_NAME)
    if reason is not None:
        checker.text("reason", reason, LONGEST_REASON)
    checker.finish()
    return (yield from base.write(keep.pause(base.context, name, base.claimant, reason)))


@verb
def resume_schedule(base: Base, name: str) -> Op[Schedule]:
    """Resume a paused schedule, from its next tick on, and return it.

    Raises:
        ScheduleNotFound: no schedule has this name.
    """
    return (yield from _told(base, keep.resume(base.context, _checked(name))))


@verb
def delete_schedule(base: Base, name: str) -> Op[None]:
    """Delete a schedule; the tasks that it has enqueued stay.

    A schedule of `@queue.cron` stays deleted until its definition in the code changes.

    Raises:
        ScheduleNotFound: no schedule has this name.
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
