"""Make the dashboard: an ASGI application that can be mounted under any prefix."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from mongoq import AsyncQueue, Queue
from mongoq.core.validation import Checker, Duration
from mongoq.dashboard.access.auth import Auth
from mongoq.dashboard.live import Live
from mongoq.dashboard.pages.acting import act
from mongoq.dashboard.pages.events import events
from mongoq.dashboard.pages.looking import PAGES
from mongoq.dashboard.pages.metrics import metrics
from mongoq.dashboard.pages.site import Site, page, templates
from mongoq.dashboard.pages.tasks import batch, task, tasks
from mongoq.dashboard.service.answers import EVERY
from mongoq.dashboard.service.hiding import NAMES, Hiding, Redact
from mongoq.dashboard.service.service import Service

STATIC: Final = Path(__file__).parent / "static"


def app(
    queue: Queue | AsyncQueue,
    *,
    auth: Auth | None = None,
    title: str | None = None,
    hide: Sequence[str] = NAMES,
    redact: Redact | None = None,
    oldest: Duration = 60,
    every: Duration = EVERY,
) -> Starlette:
    """Make the dashboard of a queue's namespace, an ASGI application.

    Mount it where you like: `Mount("/ops/mongoq", app(queue))` in Starlette, `api.mount("/ops/mongoq", app(queue))` in
    FastAPI. The queue stays open when the application ends.

    Args:
        queue: the queue; an `AsyncQueue` is used on the loop that serves.
        auth: who may look, and in which role: `basic(...)`, `header(...)`, or a function of the request that returns a
            `User`, the name of a role (`viewer`, `operator`, `admin`), or None. Default: whoever sits at this machine
            is an admin, and nobody else may look.
        title: what is written over each page. Default: the namespace.
        hide: fields of arguments, results and context that are hidden, by their names.
        redact: a function of a field's path and value that returns what is shown in its place.
        oldest: how long a task may be due before the overview says that its queue lags behind. Default: 1 minute.
        every: how often the fleet is read while somebody watches, at most. Default: 5 s.

    Raises ConfigurationError where an argument is not acceptable.
    """
    checker = Checker()
    lag = checker.duration("oldest", oldest, positive=True)
    pace = checker.duration("every", every, positive=True)
    if auth is not None and not callable(auth):
        checker.refuse("auth", auth, "basic(...), header(...) or a function of the request")
    checker.finish()
    seconds = (pace or timedelta(seconds=EVERY)).total_seconds()
    service = Service(queue, Hiding(tuple(hide), redact), seconds)
    live = Live(service.gateway, seconds)
    made = Starlette(routes=_routes())
    made.state.site = Site(service, live, auth, lag or timedelta(minutes=1), templates(), title or queue.namespace)
    return made


def _routes() -> list[BaseRoute]:
    looking = [Route(path, page(handler), methods=["GET"]) for path, (handler, _) in PAGES.items()]
    return [
        *looking,
        Route("/tasks", page(tasks), methods=["GET"]),
        Route("/task", page(task), methods=["GET"]),
        Route("/batch", page(batch), methods=["GET"]),
        Route("/act", page(act), methods=["POST"]),
        Route("/events", page(events), methods=["GET"]),
        Route("/metrics", page(metrics), methods=["GET"]),
        Route("/health", _health, methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


async def _health(_: Request) -> Response:
    """Whether the dashboard serves; it says nothing of the database."""
    return PlainTextResponse("ok\n")
