"""Read what the whole fleet does: queues, workers, pauses, schedules, recent failures, and names that nobody knows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mongoq.core.lifecycle import TaskState
from mongoq.diagnosis.facts import Failures, Fleet, Schedules
from mongoq.paging.page import PageRequest
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations.examining.sampling import is_large, ready_names, sampled
from mongoq.storage.operations.fleet import heartbeat
from mongoq.storage.operations.history import answer
from mongoq.storage.operations.looking import pages
from mongoq.storage.operations.namespace import orders
from mongoq.storage.operations.schedules import keep

RECENT: Final = timedelta(hours=1)
MOST_FAILURES: Final = 25
MOST_QUEUES: Final = 3
"""Queues whose unknown names are looked for."""


def fleet(context: Context) -> Op[Fleet]:
    """The queues, the workers and the pauses; of a few queues the names that no worker knows."""
    workers = yield from heartbeat.workers(context)
    kept = yield from answer.kept_figures(context)
    sampling = kept is None and (yield from is_large(context))
    if sampling:
        rows = yield from sampled(context, workers)
    else:
        rows = yield from answer.stats_by(context, kept)
    ordered = yield from orders.read(context)
    now = context.clock.now()
    held = [pause for pause in ordered.pauses if pause.holds(now)]
    queues = {
        name: replace(row, paused=True) if any(pause.covers(name) for pause in held) else row
        for name, row in rows.items()
    }
    found = Fleet(now, queues, workers, ordered.pauses, sampled=sampling)
    odd = [row for row in queues.values() if row.unhandled and not row.paused]
    unknown: dict[str, list[str]] = {}
    for row in odd[:MOST_QUEUES]:
        unknown[row.queue] = yield from _unknown(context, row.queue, found)
    return replace(found, unknown=unknown)


def schedules(context: Context) -> Op[Schedules]:
    """The schedules."""
    listed = yield from keep.listed(context)
    return Schedules(context.clock.now(), listed)


def failures(context: Context) -> Op[Failures]:
    """The newest tasks that failed within the last hour: one short look at an index."""
    since = context.clock.now() - RECENT
    page = yield from pages.page(context, PageRequest(state=TaskState.FAILED, since=since, limit=MOST_FAILURES), None)
    return Failures(page.tasks, page.after is not None)


def _unknown(context: Context, queue: str, fleet: Fleet) -> Op[list[str]]:
    """The names, of a sample of ready tasks, that no worker of their queue knows; the most frequent first."""
    names = yield from ready_names(context, queue)
    takers = [one for one in fleet.workers if queue in one.queues]
    known = {name for one in takers for name in one.names}
    anything = any(not one.names for one in takers)
    left = [name or "(no name)" for name in names if not anything and name not in known]
    return [name for name, _ in Counter(left).most_common()]
