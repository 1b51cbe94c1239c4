"""How many tasks stand where: from what a worker has counted for all, or counted now where that is quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mongoq.core.stats import QueueStats
from mongoq.limiting.use import LimitStats
from mongoq.storage.commands import Filter, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import filters
from mongoq.storage.documents.names import named_as
from mongoq.storage.operations import queries
from mongoq.storage.operations.fleet.unhandled import unhandled
from mongoq.storage.operations.history import figures, rows
from mongoq.storage.operations.history.figures import Figures
from mongoq.storage.operations.limits import counting
from mongoq.storage.refusals import if_allowed


def stats(
    context: Context,
    names: Sequence[str] | None,
    prefix: str | None,
    *,
    attempts: bool,
    exact: bool,
    function: str | None = None,
) -> Op[dict[str, QueueStats]]:
    """The figures of the matching queues, by name: those with tasks, and those that workers ran some of lately.

    Of a `function` its tasks alone, counted now and without rates: what workers have counted tells them not apart.
    """
    if function is not None:
        return (yield from _counted(context, filters.named(names, prefix) | named_as(function), attempts=attempts))
    kept = yield from kept_figures(context)
    return (yield from stats_by(context, kept, names, prefix, attempts=attempts, exact=exact))


def stats_by(
    context: Context,
    kept: Figures | None,
    names: Sequence[str] | None = None,
    prefix: str | None = None,
    *,
    attempts: bool = False,
    exact: bool = False,
) -> Op[dict[str, QueueStats]]:
    """The same, by what a worker has counted, which was read."""
    if kept is not None and kept.many and not (exact or attempts):
        return {name: row for name, row in kept.queues.items() if name != rows.ALL and _matches(name, names, prefix)}
    found = yield from _counted(context, filters.named(names, prefix), attempts=attempts)
    return found if kept is None else _with_rates(found, kept, names, prefix)


def limits(context: Context, *, exact: bool) -> Op[dict[str, LimitStats]]:
    """The figures of all limits, by name: as a worker has counted them for all, or as they are counted now."""
    known = context.gate.limits
    kept = None if exact or not known else (yield from if_allowed(figures.read_limits(context), None))
    sums: Mapping[str, counting.Sums]
    if kept is None or kept.limits is None or not kept.many or not set(counting.told(known)) <= kept.limits.keys():
        sums, at = (yield from counting.count(context)), None
    else:
        sums, at = kept.limits, kept.at
    return {name: counting.stats_of(known[name], sums[name], at) for name in sorted(known.keys() & sums.keys())}


def _counted(context: Context, named: Filter, *, attempts: bool) -> Op[dict[str, QueueStats]]:
    found = yield from queries.stats(context, named, attempts=attempts)
    left = yield from unhandled(context, named, {name: row.ready for name, row in found.items()})
    if left:
        found = {name: replace(row, unhandled=left.get(name, 0)) for name, row in found.items()}
    return found


def kept_figures(context: Context) -> Op[Figures | None]:
    """What a worker has counted for all; None where there is nothing, or this user may not read it."""
    return (yield from if_allowed(figures.read(context), None))


def _with_rates(
    found: dict[str, QueueStats], kept: Figures, names: Sequence[str] | None, prefix: str | None
) -> dict[str, QueueStats]:
    busy = [
        name for name, row in kept.queues.items() if row.starts and name != rows.ALL and _matches(name, names, prefix)
    ]
    every = sorted({*found, *busy})
    return {name: figures.with_rates(found.get(name) or QueueStats(name), kept.queues.get(name)) for name in every}


def _matches(name: str, names: Sequence[str] | None, prefix: str | None) -> bool:
    if names is None and not prefix:
        return True
    return name in (names or ()) or (bool(prefix) and name.startswith(prefix or ""))
