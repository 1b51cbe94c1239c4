"""`dashboard`: its pages, `stats` and 50 open tabs at 1,000,000 live and 2,000,000 finished tasks in 10,000 queues.

A row of a page is the time to its first byte, each load with the fleet read anew, and its p95;
`dashboard.<page>.documents` says how many tasks the server examined for it, of as many rows as are shown. `--tasks` is
the number of live tasks, by which the others shrink. On a server that is given by `--uri` and has the namespace
`scale-<tasks>`, that is measured.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import Any, Final, NamedTuple

import uvicorn
from pymongo.database import Database

from benchmarks import scale
from benchmarks.report import Row
from benchmarks.setting import Setting
from benchmarks.tabs import tabs
from mongoq import Queue
from mongoq.dashboard import app
from mongoq.dashboard.pages.site import Site

LIVE: Final = 1_000_000
QUEUES: Final = 10_000
LOADS: Final = 20
APPLICATION: Final = "bench-dashboard"
BUSY: Final = scale.queue_of(7)
VIEWS: Final = {
    "overview": "/", "queues": "/queues", "queues.prefix": "/queues?prefix=queue-1050", "names": "/names",
    "workers": "/workers", "schedules": "/schedules", "limits": "/limits", "batches": "/batches", "dead": "/dead",
    "failures": "/failures", "audit": "/audit", "doctor": "/doctor",
    "history": "/history", "history.queue": f"/history?queue={scale.queue_of(0)}",
    "history.week": "/history?span=7d", "history.quarter": "/history?span=90d",
    "history.name": "/history?name=name-100000&span=1d", "metrics": "/metrics",
    "tasks": "/tasks", "tasks.ready": "/tasks?state=ready", "tasks.scheduled": "/tasks?state=scheduled",
    "tasks.running": "/tasks?state=running", "tasks.parked": "/tasks?state=parked",
    "tasks.failed": "/tasks?state=failed", "tasks.completed": "/tasks?state=completed",
    "tasks.queue": f"/tasks?queue={BUSY}", "tasks.queue.ready": f"/tasks?queue={BUSY}&state=ready",
    "tasks.queue.failed": f"/tasks?queue={BUSY}&state=failed", "tasks.since": "/tasks?state=failed&since=1h",
    "tasks.until": "/tasks?state=completed&until=2h", "tasks.prefix": "/tasks?prefix=l-10000005",
    "tasks.name.ready": "/tasks?state=ready&name=name-100007",
    "tasks.name.queue": f"/tasks?queue={BUSY}&state=ready&name=name-100007",
    "task": "/task?key=l-1000000000000",
    "search.name": "/tasks?name=name-100007", "search.error": "/tasks?state=failed&error=TimeoutError",
    "search.tag": "/tasks?tag=user%3D7", "search.nothing": "/tasks?state=completed&name=none",
}  # fmt: skip
"""By name. What begins with `search` looks at up to 10,000 tasks."""
FOLLOWED: Final = ("tasks", "tasks.ready", "tasks.failed", "tasks.completed", "tasks.queue", "queues", "names")
"""Of these the second page is measured as well."""


class Load(NamedTuple):
    """One page, as it came."""

    seconds: float
    """To the first byte."""
    cpu: float
    """CPU seconds of the dashboard, and of who asked."""
    text: str


class Cost(NamedTuple):
    """What one page cost the server."""

    rows: int
    """How many rows it shows."""
    examined: int
    """Documents of tasks."""
    milliseconds: float
    """Of all its commands."""


def dashboard(setting: Setting) -> list[Row]:
    """Make the namespace where it is not there, and measure everything on it."""
    live = setting.count(LIVE)
    queues = max(10, QUEUES * live // LIVE)
    database = setting.client.get_default_database("mongoq")
    namespace = f"scale-{live}"
    if f"{namespace}.tasks" not in database.list_collection_names():
        began = time.monotonic()
        scale.build(setting.uri, database, namespace, live, queues)
        setting.note(f"it took {time.monotonic() - began:.0f} s to make the tasks")
    scale.beat(database, namespace)
    found = [*_pages(setting, database, namespace), *_stats(setting, database, namespace)]
    return [*found, *tabs(setting, database, namespace, VIEWS.values())]


def _pages(setting: Setting, database: Database[Any], namespace: str) -> list[Row]:
    found: list[Row] = []
    separator = "&" if "?" in setting.uri else "?"
    uri = f"{setting.uri}{separator}appName={APPLICATION}"
    with Queue(uri, namespace=namespace) as queue, _served(queue) as (port, site):

        def load(path: str) -> Load:
            site.live.forget()
            site.service.answers.forget()
            return _get(port, path)

        load("/")  # connections and templates: what the first load costs is a row of its own
        views = dict(VIEWS)
        for name, path in VIEWS.items():
            if name in FOLLOWED and (after := _next(path, load(path).text)) is not None:
                views[f"{name}.second"] = after
        for name, path in views.items():
            cost = _cost(database, namespace, partial(load, path))
            loads = [load(path) for _ in range(setting.rounds(LOADS))]
            found += [
                Row(f"dashboard.{name}", "ms", [one.seconds * 1000 for one in loads]),
                Row(f"dashboard.{name}.p95", "ms", [_p95([one.seconds * 1000 for one in loads])]),
                Row(f"dashboard.{name}.cpu", "ms", [one.cpu * 1000 for one in loads]),
                Row(f"dashboard.{name}.server", "ms", [cost.milliseconds]),
                Row(f"dashboard.{name}.documents", "tasks", [cost.examined], [max(1, cost.rows)]),
            ]
    return found


def _stats(setting: Setting, database: Database[Any], namespace: str) -> list[Row]:
    separator = "&" if "?" in setting.uri else "?"
    with Queue(f"{setting.uri}{separator}appName={APPLICATION}", namespace=namespace) as queue:
        queue.stats()
        wall, cpu = [], []
        cost = _cost(database, namespace, lambda: Load(0, 0, str(len(queue.stats()))))
        for _ in range(setting.rounds(LOADS)):
            before, burnt = time.perf_counter(), time.thread_time()
            queue.stats()
            wall.append((time.perf_counter() - before) * 1000)
            cpu.append((time.thread_time() - burnt) * 1000)
    return [
        Row("dashboard.stats", "ms", wall),
        Row("dashboard.stats.cpu", "ms", cpu),
        Row("dashboard.stats.server", "ms", [cost.milliseconds]),
        Row("dashboard.stats.documents", "tasks", [cost.examined]),
    ]


@contextmanager
def _served(queue: Queue) -> Iterator[tuple[int, Site]]:
    """Give the port of a dashboard in this process, and its inside."""
    made = app(queue)
    config = uvicorn.Config(made, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    listening = config.bind_socket()
    listening.listen(128)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1], made.state.site
    finally:
        server.should_exit = True
        thread.join(30)


def _get(port: int, path: str) -> Load:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        before, burnt = time.perf_counter(), time.process_time()
        connection.request("GET", path)
        answer = connection.getresponse()
        seconds = time.perf_counter() - before
        text = answer.read().decode()
        cpu = time.process_time() - burnt
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status}: {text[-300:]}")
        return Load(seconds, cpu, text)
    finally:
        connection.close()


def _p95(figures: Sequence[float]) -> float:
    return sorted(figures)[math.ceil(0.95 * len(figures)) - 1]


def _next(path: str, text: str) -> str | None:
    found = re.search(r'rel="next" href="\?([^"]+)"', text)
    return None if found is None else f"{path.partition('?')[0]}?{found[1].replace('&amp;', '&')}"


def _cost(database: Database[Any], namespace: str, load: Callable[[], Load]) -> Cost:
    """What a page costs the server, by its profiler."""
    database.command("profile", 2)
    try:
        text = load().text
    finally:
        database.command("profile", 0)
    commands = list(database["system.profile"].find({"appName": APPLICATION}))
    database.drop_collection("system.profile")
    tasks = f"{database.name}.{namespace}.tasks"
    examined = sum(one.get("docsExamined", 0) for one in commands if one["ns"] == tasks)
    rows = len(re.findall(r'<th scope="row"|<article', text))
    return Cost(rows, examined, sum(one.get("millis", 0) for one in commands))
