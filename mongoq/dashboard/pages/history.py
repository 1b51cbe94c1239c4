"""The page of what happened over time: of all queues, of one, or of one name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from mongoq import HistoryPoint, HistoryStep
from mongoq.dashboard.access.rights import User
from mongoq.dashboard.pages.site import Site, render

SPANS: Final = {
    "1h": (timedelta(hours=1), HistoryStep.MINUTE), "6h": (timedelta(hours=6), HistoryStep.MINUTE),
    "1d": (timedelta(days=1), HistoryStep.MINUTE), "7d": (timedelta(days=7), HistoryStep.HOUR),
    "90d": (timedelta(days=90), HistoryStep.DAY),
}  # fmt: skip
"""The spans of time to choose from, with the step of each."""
ROWS: Final = 30
Line = tuple[str, str, Callable[[HistoryPoint], float | None]]
"""The label of a line, its colour in the style sheet, and its value at a point."""


class Chart(NamedTuple):
    """Lines over time, as the page draws them; what they say stands in a table as well."""

    title: str
    series: str
    """The labels and colours, as JSON."""
    lines: str
    """The instants, and the values of each line, as JSON."""
    unit: str
    marks: str
    """The instants of releases with their names, as JSON."""


async def history(request: Request, site: Site, user: User) -> Response:
    """How many tasks came and ended, how long they waited and ran, and how deep the queues were."""
    asked = request.query_params
    chosen = asked.get("span") if asked.get("span") in SPANS else "1h"
    span, step = SPANS[chosen or "1h"]
    queue, name = asked.get("queue", "").strip(), asked.get("name", "").strip()
    points = await site.service.history(user, queue or None, name=name or None, since=span, step=step)
    return render(
        request, site, user, "history.html", charts=charts(points, step), points=points[: -ROWS - 1 : -1], step=step,
        spans=SPANS, span=chosen, queue=queue, name=name, known=site.live.queues, title="History",
    )  # fmt: skip


def charts(points: Sequence[HistoryPoint], step: HistoryStep) -> list[Chart]:
    """The charts of these points, without those that would be empty."""
    made = [
        flow(points, step),
        _chart("Wait before the start", "s", points, *_timing("wait")),
        _chart("Run time", "s", points, *_timing("run")),
        _chart(
            "Ready and running tasks, the most that was seen", "", points,
            ("Ready", "link", lambda point: point.ready), ("Running", "info", lambda point: point.running),
            ("Unhandled", "bad", lambda point: point.unhandled),
        ),
        _chart("Age of the oldest ready task", "s", points, ("Oldest", "warn", lambda one: _seconds(one.oldest_ready))),
    ]  # fmt: skip
    return [chart for chart in made if chart is not None]


def flow(points: Sequence[HistoryPoint], step: HistoryStep) -> Chart | None:
    """How many tasks came and were done; None where nothing happened."""
    if not any(point.starts or point.ended or point.arrivals for point in points):
        return None
    return _chart(
        f"Tasks per {step}", "", points, ("Came", "link", lambda point: point.arrivals),
        ("Done", "info", lambda point: point.finished), ("Failed or retried", "bad", _errors),
    )  # fmt: skip


def _timing(field: str) -> list[Line]:
    def value(share: str) -> Callable[[HistoryPoint], float | None]:
        return lambda point: _seconds(getattr(getattr(point, field), share, None))

    return [("p50", "info", value("p50")), ("p95", "link", value("p95")), ("p99", "warn", value("p99"))]


def _chart(title: str, unit: str, points: Sequence[HistoryPoint], *lines: Line) -> Chart | None:
    values: list[list[Any]] = [[value(point) for point in points] for _, _, value in lines]
    if all(one is None for line in values for one in line):
        return None
    series = json.dumps([[label, colour] for label, colour, _ in lines])
    lines_ = json.dumps([[point.at.timestamp() for point in points], *values])
    marks = json.dumps([[point.at.timestamp(), ", ".join(point.releases)] for point in points if point.releases])
    return Chart(title, series, lines_, unit, marks)


def _errors(point: HistoryPoint) -> int:
    return point.failed + point.retried


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds(), 4)
