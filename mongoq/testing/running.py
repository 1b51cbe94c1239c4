"""Run all that is due by the operations of a worker, in the calling thread, and move the clock to what becomes due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from mongoq.api.base import Base
from mongoq.api.starting import call_back, chosen, names_of
from mongoq.core.clock import elapsed
from mongoq.core.errors import DependencyError, InvalidTask, StorageRefused
from mongoq.core.events import Signpost
from mongoq.core.lifecycle import Event
from mongoq.core.read_only import ReadOnly
from mongoq.core.requests import ClaimRequest, checked_claim, checked_seconds
from mongoq.core.validation import Checker, Duration
from mongoq.core.verdict import MOST_POISON_WEIGHT, Raised, Released, Verdict
from mongoq.storage.commands import Op, find_one
from mongoq.storage.control import Entered
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.operations import claims, queries, sweep
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.finish import finish, finish_and_modify
from mongoq.storage.operations.flow.undone import sweep_flow
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.storage.operations.namespace import orders
from mongoq.storage.operations.schedules import keep
from mongoq.storage.operations.schedules.tick import tick
from mongoq.testing.outcome import Ran, ran
from mongoq.testing.tempo import Made, helper, opened
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.handlers.hooks import with_hooks
from mongoq.worker.handlers.signature import Handler, checked_handler
from mongoq.worker.verdicts import stop_of, verdict_instead, verdict_on

LIMIT: Final = 1_000
LISTENERS: Final = 10.0
"""Seconds for which the listeners of events are waited for."""


class Far(NamedTuple):
    """How far the clock is moved."""

    moves: bool
    ticks: datetime | None
    """The last tick to which it is moved."""
    end: datetime | None
    """Where it stands in the end; None: where nothing is left."""


@helper
def run_due(
    base: Base,
    handler: Callable[..., Any] | None = None,
    *,
    queues: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    advance: bool = True,
    until: Duration | None = None,
    limit: int = LIMIT,
) -> Op[list[Ran]]:
    """Run all that is due, one task after the other in the calling thread, and return what ran.

    Each is claimed, judged and ended by the operations of a worker; with `advance` the queue's `FrozenClock` is moved
    to what becomes due next (retries, delays, leases that run out), until nothing of these queues is left. A coroutine
    handler runs to its end, on the caller's loop where the queue is an `AsyncQueue`. The queue's middleware and its
    lifespan hold. Deadlines are told, by `task.time_left()`, but interrupt nothing.

    Schedules enqueue what is due by them. The clock is moved to the next tick of these queues as well, once; with
    `until` to all ticks, and whatever else becomes due, so long from now, where it stands in the end.

    Args:
        handler: as of `queue.run`.
        queues, where: as of `queue.run`.
        advance: False leaves the clock alone: only what is due now is run.
        until: for how long to move the clock. Default: as far as there is something left, and to one tick.
        limit: how many attempts may run; AssertionError where there are more.

    Raises:
        AssertionError: more than `limit` attempts were due; a handler fails or enqueues for ever.
        ConfigurationError: an argument is not acceptable, or the queue's clock cannot be moved.
        Stop: a handler raised it, as `queue.run` does; its task is released.
    """
    call_back(base, handler)
    handler, queues = chosen(base.functions, handler, queues)
    checked, executor = checked_handler(handler, None)
    checked = with_hooks(checked, executor, base.hooks.middleware, base.hooks.lifespan)
    wanted = checked_claim(queues, None, base.claimant, where, task_names=names_of(handler))
    _check_clock(base, advance=advance)
    yield from base.write(keep.declare(base.context, base.functions.schedules().values()))
    far = yield from _far(base, wanted, until, advance=advance)
    return (yield from opened(checked.lifespan, lambda: _run_all(base, checked, wanted, far, limit)))


def _run_all(base: Base, handler: Handler, wanted: ClaimRequest, far: Far, limit: int) -> Op[list[Ran]]:
    done: list[Ran] = []
    while True:
        attempt = yield from _claim(base, wanted, handler)
        if attempt is None:
            if not (yield from _advance(base, wanted, far)):
                return done
            continue
        if len(done) >= limit:
            yield from _release(base, attempt)
            raise AssertionError(_endless(limit, done, attempt))
        done.append((yield from _attempt(base, attempt, handler)))


def _attempt(base: Base, attempt: LiveAttempt, handler: Handler) -> Op[Ran]:
    base.telemetry.emit(Signpost.STARTED, task=attempt.task)
    attempt.start()
    try:
        ending: Made = yield Entered(partial(handler.single, attempt.task))
    except GeneratorExit:
        raise
    except BaseException:  # the test was interrupted, or failed by pytest.fail: nobody has the task any more
        yield from _release(base, attempt)
        raise
    committed = attempt.committed
    verdict = Verdict(Event.COMPLETE) if committed else verdict_on(base.context, attempt, ending, base.claimant)
    stop = stop_of(attempt, ending.error) if isinstance(ending, Raised) else None
    base.telemetry.emit(Signpost.ENDED, task=attempt.task, verdict=verdict)
    if not committed:
        verdict = yield from _finish(base, attempt, verdict)
    if stop is not None:
        raise stop
    return ran(handler, attempt.task, ending, verdict)


def _finish(base: Base, attempt: LiveAttempt, verdict: Verdict) -> Op[Verdict]:
    """Write an ending; the verdict that was written in its place where it was refused with what came with it."""
    ended = _ended(attempt, verdict)
    try:
        if verdict.modification is None:
            held = not (yield from base.write(finish(base.context, [ended]))).lost
        else:
            held = yield from base.write(finish_and_modify(base.context, ended))
    except (DependencyError, InvalidTask, StorageRefused) as error:
        base.telemetry.emit(Signpost.REFUSED, task=attempt.task, error=error)
        verdict = verdict_instead(base.context, (attempt, verdict), error, base.claimant, ignore=False)
        held = not (yield from base.write(finish(base.context, [_ended(attempt, verdict)]))).lost
    if held:
        base.telemetry.emit(Signpost.FINISHED, count=1, endings=[(attempt.task, verdict)])
    else:
        base.telemetry.emit(Signpost.LEASE_LOST, key=attempt.key)
    return verdict


def _claim(base: Base, wanted: ClaimRequest, handler: Handler) -> Op[LiveAttempt | None]:
    """The most urgent task that is due, after a sweep."""
    yield from base.read(orders.read(base.context))
    while (yield from base.write(tick(base.context))).full:
        pass
    yield from base.write(sweep.sweep(base.context))
    yield from base.write(sweep.expire(base.context))
    yield from base.write(sweep_flow(base.context))
    sent = elapsed()
    claim = yield from base.write(claims.claim_many(base.context, wanted, poison_budget=MOST_POISON_WEIGHT))
    for claimed in claim.unread:
        policy = base.context.options.policy.over(claimed.carried).over(handler.policies.get(claimed.name or "", {}))
        attempt = LiveAttempt(claimed, policy, sent)
        if claimed.parents:
            found = yield from base.read(queries.with_keys(base.context, claimed.parents))
            by_key = {task.key: task for task in found}
            attempt.parents = ReadOnly({key: by_key[key] for key in claimed.parents if key in by_key})
        base.telemetry.emit(
            Signpost.CLAIMED, tasks=[attempt.task], wanted=1, lost=0, blocked=0, doubtful=False, sent=sent
        )
        return attempt
    return None


def _ended(attempt: LiveAttempt, verdict: Verdict) -> Ended:
    how = attempt.unwritten, attempt.unique, attempt.awaited, attempt.batch, attempt.frees
    return Ended(attempt.task, verdict, False, *how)


def _release(base: Base, attempt: LiveAttempt) -> Op[None]:
    verdict = verdict_on(base.context, attempt, Released(), base.claimant)
    yield from base.write(finish(base.context, [_ended(attempt, verdict)]))


def _far(base: Base, wanted: ClaimRequest, until: Duration | None, *, advance: bool) -> Op[Far]:
    if not advance:
        return Far(moves=False, ticks=None, end=None)
    if until is not None:
        end = base.context.clock.now() + timedelta(seconds=checked_seconds("until", until))
        return Far(moves=True, ticks=end, end=end)
    next_tick = yield from base.read(keep.next_tick(base.context, wanted.queues))
    return Far(moves=True, ticks=next_tick, end=None)


def _advance(base: Base, wanted: ClaimRequest, far: Far) -> Op[bool]:
    """Move the clock to what becomes due next in these queues, or to the end; whether it was moved."""
    if not far.moves:
        return False
    context = base.context
    clock: Any = context.clock  # a FrozenClock, or one that is moved as it is
    ours = {**filters.named(wanted.queues), **filters.tagged(wanted.where)}
    awaited = (
        (filters.first_scheduled(), fields.RUN_AT, indexes.DUE, timedelta(0)),
        (filters.first_running(), fields.LEASE_UNTIL, indexes.LEASE, filters.SKEW),
    )
    due = []
    for state, field, index, after in awaited:
        where = {**ours, **state}
        found = yield from base.read(find_one(context.tasks, where, only=[field], sort=[(field, 1)], hint=index))
        if found is not None:
            due.append(fields.value_of(found, field) + after)
    looked = yield from base.read(sweep_limits(context))
    if looked.next is not None:
        due.append(context.clock.now() + looked.next)
    tick_at = yield from base.read(keep.next_tick(context, wanted.queues))
    if tick_at is not None and far.ticks is not None and tick_at <= far.ticks:
        due.append(tick_at)
    if far.end is not None:
        due = [one for one in due if one <= far.end] or [far.end] * (clock.now() < far.end)
    if due:
        clock.advance(max(0.0, (min(due) - clock.now()).total_seconds()))
    return bool(due)


def _check_clock(base: Base, *, advance: bool) -> None:
    checker = Checker()
    if advance and not hasattr(base.context.clock, "advance"):
        checker.refuse(
            "advance", advance, "False, or a queue with clock=FrozenClock(): this one's clock runs by itself"
        )
    checker.finish()


def _endless(limit: int, done: Sequence[Ran], attempt: LiveAttempt) -> str:
    last = done[-1] if done else None
    how = (
        f"; the last one, {last.task!r}, became {last.state}" + (f" by {last.error!r}" if last.error else "")
        if last
        else ""
    )
    return (
        f"{limit} attempts ran and {attempt.task!r} is due still{how}. Does a handler fail or enqueue for ever? "
        "max_retries= ends failures, advance=False runs only what is due now, limit= allows more"
    )
