"""The pages of the whole fleet: overview, queues, names, workers, schedules, limits, failures, dead letters, audit."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from heapq import nsmallest
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from mongoq import HistoryStep, Task, TaskState
from mongoq.core.explaining.grouping import grouped
from mongoq.core.options import BESIDE
from mongoq.dashboard.access.rights import Right, User
from mongoq.dashboard.live import Sample
from mongoq.dashboard.pages.history import flow, history
from mongoq.dashboard.pages.site import Site, render
from mongoq.dashboard.service.snapshot import LEVELS, problems
from mongoq.dashboard.service.view import View

ROWS: Final = 100
BUSIEST: Final = 12
COMPARED: Final = timedelta(minutes=5)
RATED: Final = timedelta(minutes=5)
"""Names are told with their rates over about this time."""
GROUPED: Final = 2
"""Pages of failed tasks that are grouped."""


async def overview(request: Request, site: Site, user: User) -> Response:
    """Whether anything is wrong, whether it is getting better, and who is doing it."""
    now = await site.live.snapshot()
    found = problems(now, site.oldest)
    worst = found[0].level if found else "good"
    busiest = nsmallest(BUSIEST, now.stats.values(), key=lambda row: (-row.ready, -row.running, row.queue))
    trend = list(site.live.trend)
    points = await site.service.history(user, since=timedelta(hours=1), step=HistoryStep.MINUTE)
    lines = [[one.at.timestamp() for one in trend], *([one[field] for one in trend] for field in (1, 2, 3))]
    return render(
        request, site, user, "overview.html", now=now, problems=found, worst=worst, busiest=busiest, title="Overview",
        trend=trend, before=earlier(trend), lines=json.dumps(lines),
        flow=flow(points, HistoryStep.MINUTE),
    )  # fmt: skip


def earlier(trend: Sequence[Sample]) -> Sample | None:
    """The sample that the newest is compared with: of 5 minutes before, or the first; None where there is only one."""
    if len(trend) < 2:
        return None
    return next(one for one in trend if one.at >= trend[-1].at - COMPARED)


async def queues(request: Request, site: Site, user: User) -> Response:
    """All queues by name, or those whose names begin so."""
    now = await site.live.snapshot()
    prefix, after = request.query_params.get("prefix", ""), request.query_params.get("after", "")
    rows = [row for name, row in sorted(now.stats.items()) if name.startswith(prefix) and name > after]
    served: dict[str, int] = defaultdict(int)
    for worker in now.workers:
        for queue in worker.queues:
            served[queue] += worker.workers
    more = rows[ROWS - 1].queue if len(rows) > ROWS else None
    pauses = [one for one in now.pauses if one.queue is None or one.queue not in now.stats]
    return render(
        request, site, user, "queues.html", now=now, rows=rows[:ROWS], prefix=prefix, more=more, served=served,
        pauses=pauses, title="Queues",
    )  # fmt: skip


async def names(request: Request, site: Site, user: User) -> Response:
    """The names of task functions that workers know, and who takes them: all, or those that begin so."""
    now = await site.live.snapshot()
    known: dict[str, list[Any]] = defaultdict(list)
    for worker in now.workers:
        for name in worker.names:
            known[name.partition("@")[0]].append(worker)
    paused = {pause.name: pause for pause in now.pauses if pause.name is not None}
    prefix, after = request.query_params.get("prefix", ""), request.query_params.get("after", "")
    chosen = sorted(name for name in {*known, *paused} if name.startswith(prefix) and name > after)
    more = chosen[ROWS - 1] if len(chosen) > ROWS else None
    rows = {name: known.get(name, []) for name in chosen[:ROWS]}
    lately = await site.service.history_of_names(user, list(rows), RATED)
    seconds = max(((now.at - one.at).total_seconds() for one in lately.values()), default=0.0)
    return render(
        request, site, user, "names.html", now=now, rows=rows, lately=lately, seconds=max(1.0, seconds), paused=paused,
        prefix=prefix, more=more, title="Names",
    )  # fmt: skip


async def workers(request: Request, site: Site, user: User) -> Response:
    """The worker processes, by host."""
    now = await site.live.snapshot()
    rows = sorted(now.workers, key=lambda worker: (worker.host, worker.pid, worker.id))
    return render(request, site, user, "workers.html", now=now, rows=rows, title="Workers")


async def schedules(request: Request, site: Site, user: User) -> Response:
    """The schedules by name."""
    now = await site.live.snapshot()
    return render(request, site, user, "schedules.html", now=now, rows=now.schedules, title="Schedules")


async def limits(request: Request, site: Site, user: User) -> Response:
    """The limits by name, each with how full it is, and the fullest groups of the one that is chosen."""
    now = await site.live.snapshot()
    known = await site.service.limits(user)
    shown = request.query_params.get("name", "") or (known[0].name if len(known) == 1 else "")
    there = shown in [one.name for one in known]
    groups = await site.service.limit_state(user, shown) if there else []
    return render(
        request, site, user, "limits.html", now=now, rows=known, shown=shown, groups=groups, most=ROWS, title="Limits"
    )


async def batches(request: Request, site: Site, user: User) -> Response:
    """The newest batches that have not called back."""
    rows = await site.service.batches(user)
    return render(request, site, user, "batches.html", rows=rows, title="Batches")


async def dead(request: Request, site: Site, user: User) -> Response:
    """The error queues, with what waits there."""
    now = await site.live.snapshot()
    rows = [row for name, row in sorted(now.stats.items()) if name.endswith(BESIDE(""))]
    return render(request, site, user, "dead.html", now=now, rows=rows, title="Dead letters")


async def failures(request: Request, site: Site, user: User) -> Response:
    """Failed tasks, grouped by their errors, with what numbers in the messages apart."""
    found: list[Task] = []
    view, after = View(TaskState.FAILED, limit=150), ""
    for _ in range(GROUPED):
        page = await site.service.page(user, View(TaskState.FAILED, after=after, limit=150))
        found += page.tasks
        after = page.after or ""
        if not after:
            break
    rows, looked = grouped(found), len(found)
    return render(
        request, site, user, "failures.html", rows=rows, looked=looked, complete=not after, view=view, title="Failures"
    )


async def doctor(request: Request, site: Site, user: User) -> Response:
    """All that the checks of a diagnosis find, and those that could not be run."""
    found = await site.service.diagnosis(user)
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in found.not_run:
        reasons[one.reason].append(one.check)
    worst = LEVELS[found.findings[0].level] if found.findings else "good"
    return render(
        request, site, user, "doctor.html", found=found, reasons=dict(reasons), worst=worst,
        levels=LEVELS, title="Doctor",
    )  # fmt: skip


async def audit(request: Request, site: Site, user: User) -> Response:
    """Who did what."""
    rows = await site.service.audits(user, request.query_params.get("after") or None)
    return render(request, site, user, "audit.html", rows=rows, title="Audit")


PAGES: Final = {
    "/": (overview, Right.LOOK), "/queues": (queues, Right.LOOK), "/names": (names, Right.LOOK),
    "/history": (history, Right.LOOK),
    "/workers": (workers, Right.LOOK), "/schedules": (schedules, Right.LOOK), "/limits": (limits, Right.LOOK),
    "/batches": (batches, Right.LOOK), "/dead": (dead, Right.LOOK), "/failures": (failures, Right.LOOK),
    "/doctor": (doctor, Right.LOOK), "/audit": (audit, Right.AUDIT),
}  # fmt: skip
"""By their paths, with the right that each takes."""
