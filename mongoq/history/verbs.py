"""The verbs of the history: read it, and mark a release in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.validation import QUEUE_NAME, TASK_NAME, Checker, Duration
from mongoq.history.point import HistoryPoint, HistoryStep
from mongoq.storage.commands import Op
from mongoq.storage.operations.history import read, rows

MOST_POINTS: Final = 11_000
"""A week of minutes, and some."""
MOST_NAMES: Final = 1_000
FINE: Final = timedelta(hours=6)
"""Up to this span a point is a minute where no step is given, and then an hour."""
COARSE: Final = timedelta(days=14)
"""Up to this span it is an hour, and then a day."""


@verb
def history(
    base: Base,
    queue: str | None = None,
    *,
    name: str | None = None,
    since: datetime | Duration | None = None,
    until: datetime | None = None,
    step: HistoryStep | str | None = None,
) -> Op[list[HistoryPoint]]:
    """Return what workers did in each minute, hour or day, the oldest first: starts, endings, waits and runs.

    It reads the sums that worker processes write with their heartbeats, and no task: the last 10 s may be missing. The
    last seconds of a killed process are lost. Tasks that are claimed by hand are not counted.

    Args:
        queue: of this queue. Default: of all together.
        name: of this task function, all its revisions together.
        since: where it begins, an instant or a duration before now. Default: one hour.
        until: where it ends. Default: now.
        step: "minute" (kept for 7 days), "hour" (90 days) or "day" (a year). Default: by the span of time, minutes up
            to 6 hours, hours up to 14 days.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    checker = Checker()
    if queue is not None:
        checker.matching("queue", queue, QUEUE_NAME)
    if name is not None:
        checker.matching("name", name, TASK_NAME)
    if step is not None:
        checker.one_of("step", step, [one.value for one in HistoryStep])
    now = base.context.clock.now()
    ends = now if until is None else checker.instant("until", until)
    begins = _begin(checker, since, now)
    checker.finish()
    assert begins is not None
    assert ends is not None
    if begins >= ends:
        checker.refuse("since", since, "an instant before until")
    chosen = _step(ends - begins) if step is None else HistoryStep(step)
    if (ends - begins) / rows.LENGTHS[chosen] > MOST_POINTS:
        checker.refuse("step", step, f"one that makes at most {MOST_POINTS} points of {ends - begins}")
    checker.finish()
    asked = rows.Asked(chosen, begins, ends, queue, name)
    return (yield from base.read(read.points(base.context, asked)))


@verb
def history_of_names(base: Base, names: Iterable[str], *, since: Duration = 300) -> Op[dict[str, HistoryPoint]]:
    """What workers did of each of these task functions in the last 5 minutes, by name; without waits and runs.

    One command for all of them, which reads their minutes alone: up to 1,000 names. `since` is another span before
    now, of 6 hours at most, from the beginning of its minute on.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    chosen = [names] if isinstance(names, str) else list(names)
    checker = Checker()
    if len(chosen) > MOST_NAMES:
        checker.refuse("names", f"{len(chosen):,} names", f"at most {MOST_NAMES:,}")
    for place, name in enumerate(chosen[:MOST_NAMES]):
        checker.matching(f"names[{place}]", name, TASK_NAME)
    span = checker.duration("since", since, positive=True)
    if span is not None and span > FINE:
        checker.refuse("since", since, "at most 6 hours")
    checker.finish()
    assert span is not None
    return (yield from base.read(read.of_names(base.context, chosen, base.context.clock.now() - span)))


@verb
def mark_release(base: Base, release: str) -> Op[None]:
    """Mark in the history that a release of your code is deployed; a release that is marked already stays as it is.

    `mongoq worker --release 1.4.2` does so at its start. Marks are kept for a year: they are in
    `HistoryPoint.releases`, and lines in the charts of the dashboard.

    Raises:
        ConfigurationError: `release` is not a string of 1 to 100 characters.
    """
    checker = Checker()
    checker.text("release", release, 100)
    checker.finish()
    yield from base.write(read.mark_release(base.context, release))


def _begin(checker: Checker, since: Any, now: datetime) -> datetime | None:
    if isinstance(since, datetime):
        return checker.instant("since", since)
    span = timedelta(hours=1) if since is None else checker.duration("since", since, positive=True)
    return None if span is None else now - span


def _step(span: timedelta) -> HistoryStep:
    if span <= FINE:
        return HistoryStep.MINUTE
    return HistoryStep.HOUR if span <= COARSE else HistoryStep.DAY
