"""Run all that is due by the operations of a worker, in the calling thread, and move the clock to what becomes due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.api.starting import call_back, chosen, names_of
from mongoq.core.clock import elapsed
from mongoq.core.errors import InvalidTask, StorageRefused
from mongoq.core.events import Signpost
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Raised, Released, Returned, Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.requests import ClaimRequest, checked_claim
from mongoq.core.signals import Interrupted
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.read_only import ReadOnly
from mongoq.core.validation import Duration
from mongoq.limiting.limit import groups_of_slots
from mongoq.storage.commands import Op
from mongoq.storage.control import Entered
from mongoq.storage.operations import queries, sweep
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.finish import finish, finish_and_modify
from mongoq.storage.operations.flow.undone import sweep_flow
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.namespace import orders
from mongoq.storage.operations.schedules import keep
from mongoq.storage.operations.schedules.tick import tick
from mongoq.testing.advancing import Far, advanced, check_clock, far_of
from mongoq.testing.outcome import Ran, ran
from mongoq.testing.tempo import Made, helper, opened
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.batching import is_last_chance
from mongoq.worker.handlers.hooks import with_hooks
from mongoq.worker.handlers.signature import Handler, checked_handler
from mongoq.worker.verdicts import log_failure, stop_of, verdict_instead, verdict_on

LIMIT: Final = 1_000


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
    batch: int | None = None,
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
        batch: as of `queue.run`. A batch waits for nothing: it has those of its tasks that are due.

    Raises:
        AssertionError: more than `limit` attempts were due; a handler fails or enqueues for ever.
        ConfigurationError: an argument is not acceptable, or the queue's clock cannot be moved.
        Stop: a handler raised it, as `queue.run` does; its task is released.
    """
    call_back(base, handler)
    handler, queues = chosen(base.functions, handler, queues)
    checked, executor = checked_handler(handler, None, batch=batch)
    checked = with_hooks(checked, executor, base.hooks.middleware, base.hooks.lifespan)
    wanted = checked_claim(queues, None, base.claimant, where, task_names=names_of(handler))
    check_clock(base, advance=advance)
    yield from base.write(keeping.declare(base.context, base.functions.limits().values(), base.claimant))
    yield from base.write(keep.declare(base.context, base.functions.schedules().values()))
    far = yield from far_of(base, wanted, until, advance=advance)
    return (yield from opened(checked.lifespan, lambda: _run_all(base, checked, wanted, far, limit)))


def _run_all(base: Base, handler: Handler, wanted: ClaimRequest, far: Far, limit: int) -> Op[list[Ran]]:
    done: list[Ran] = []
    while True:
        calls = yield from _claim(base, wanted, handler)
        if not calls and not (yield from advanced(base, wanted, far)):
            return done
        try:
            while calls:
                if len(done) >= limit:
                    raise AssertionError(_endless(limit, done, calls[0][0]))
                done += yield from _call(base, calls[0], handler)
                del calls[0]
        except GeneratorExit:
            raise
        except BaseException:  # the test was interrupted, or failed by pytest.fail: nobody has the tasks any more
            yield from _release(base, [one for call in calls for one in call])
            raise


def _call(base: Base, attempts: list[LiveAttempt], handler: Handler) -> Op[list[Ran]]:
    """Call the handler for one task, or together for those of a batch."""
    for attempt in attempts:
        base.telemetry.emit(Signpost.STARTED, task=attempt.task)
        attempt.start()
    tasks = [attempt.task for attempt in attempts]
    batch = handler.rule_of(tasks[0]) is not None
    ending: Made = yield Entered(partial(handler, tasks if batch else tasks[0]))
    endings = ending.value if batch and isinstance(ending, Returned) else [ending] * len(attempts)
    for own in endings:
        if isinstance(own, Raised) and not isinstance(own.error, Exception | Interrupted):
            raise own.error
    done, stops = [], []
    for attempt, own in zip(attempts, endings, strict=True):
        done.append((yield from _attempt(base, attempt, handler, own)))
        stop = stop_of(attempt, own.error) if isinstance(own, Raised) else None
        stops += [] if stop is None else [stop]
    if stops:
        raise stops[0]
    return done


def _attempt(base: Base, attempt: LiveAttempt, handler: Handler, ending: Made) -> Op[Ran]:
    committed = attempt.committed
    verdict = Verdict(Event.COMPLETE) if committed else verdict_on(base.context, attempt, ending, base.claimant)
    base.telemetry.emit(Signpost.ENDED, task=attempt.task, verdict=verdict)
    log_failure(attempt.task, verdict, attempt.policy.failure_message)
    if not committed:
        verdict = yield from _finish(base, attempt, verdict)
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
        base.telemetry.emit(Signpost.LEASE_LOST, key=attempt.key, task=attempt.task)
    return verdict


def _claim(base: Base, wanted: ClaimRequest, handler: Handler) -> Op[list[list[LiveAttempt]]]:
    """The most urgent task that is due, after a sweep; of a batch handler with those that go with it, by call."""
    yield from base.read(orders.read(base.context))
    while (yield from base.write(tick(base.context))).full:
        pass
    yield from base.write(sweep.sweep(base.context))
    yield from base.write(sweep.expire(base.context))
    yield from base.write(sweep_flow(base.context))
    first = yield from _claimed(base, wanted, handler)
    rule = handler.rule_of(first[0].task) if first else None
    if rule is None or rule.most == 1:
        return [first] if first else []
    more = replace(wanted, limit=rule.most - 1, names=rule.names or wanted.names)
    found = [*first, *(yield from _claimed(base, more, handler))]
    alone = [one for one in found if one.lost_leases or is_last_chance(one)]
    together = [one for one in found if one not in alone]
    return [*([together] if together else []), *([one] for one in alone)]


def _claimed(base: Base, wanted: ClaimRequest, handler: Handler) -> Op[list[LiveAttempt]]:
    sent = elapsed()
    claim = yield from base.write(claim_many(base.context, wanted, poison_budget=MOST_POISON_WEIGHT))
    attempts: list[LiveAttempt] = []
    for claimed in claim.unread:
        policy = base.context.options.policy.over(claimed.carried).over(handler.policies.get(claimed.name or "", {}))
        attempt = LiveAttempt(claimed, policy, sent)
        if claimed.parents:
            found = yield from base.read(queries.with_keys(base.context, claimed.parents))
            by_key = {task.key: task for task in found}
            attempt.parents = ReadOnly({key: by_key[key] for key in claimed.parents if key in by_key})
        attempts.append(attempt)
    if attempts:
        told = {"wanted": wanted.limit, "lost": 0, "blocked": 0, "doubtful": False, "sent": sent}
        base.telemetry.emit(Signpost.CLAIMED, tasks=[attempt.task for attempt in attempts], **told)
    return attempts


def _ended(attempt: LiveAttempt, verdict: Verdict) -> Ended:
    own = attempt.claimed
    how = attempt.unwritten, own.unique, own.awaited, own.batch, groups_of_slots(own.slots)
    return Ended(attempt.task, verdict, False, *how)


def _release(base: Base, attempts: Sequence[LiveAttempt]) -> Op[None]:
    for attempt in attempts:  # one that has ended has no token any more, and is left alone
        verdict = verdict_on(base.context, attempt, Released(), base.claimant)
        yield from base.write(finish(base.context, [_ended(attempt, verdict)]))


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
