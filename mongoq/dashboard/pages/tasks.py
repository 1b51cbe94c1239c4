"""The pages of tasks: a list that the URL describes, and one task with all that is known of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mongoq import ConfigurationError, Task, TaskState
from mongoq.core.explaining.frames import folded
from mongoq.dashboard.access.rights import User
from mongoq.dashboard.pages.site import Site, base_of, render
from mongoq.dashboard.service.view import view_from

LIVE: Final = "x-live"
"""The header of a tab that asks for its page again because the fleet was read."""


async def tasks(request: Request, site: Site, user: User) -> Response:
    """The tasks of a view."""
    view = view_from(request.query_params)
    key = request.query_params.get("key", "").strip()
    if key:
        return RedirectResponse(f"{base_of(request)}/task?{request.url.query}", 303)
    found = await site.service.page(user, view)
    rows = [(task, site.service.arguments(user, dict(task.tags))) for task in found.tasks]
    return render(
        request, site, user, "tasks.html", view=view, found=found, rows=rows, states=list(TaskState),
        queues=site.live.queues, title="Tasks",
    )  # fmt: skip


async def task(request: Request, site: Site, user: User) -> Response:
    """One task."""
    key = request.query_params.get("key", "").strip()
    if not key:
        raise ConfigurationError("key: nothing is given")
    fresh = LIVE not in request.headers
    found = await site.service.task(user, key, fresh=fresh)
    values = {
        "tags": dict(found.tags), "payload": found.payload, "result": found.result, "context": dict(found.context),
    }  # fmt: skip
    shown = {name: site.service.arguments(user, value) for name, value in values.items()}
    errors = [(error, folded(error.traceback) if error.traceback else []) for error in reversed(found.errors)]
    return render(
        request, site, user, "task.html", task=found, shown=shown, errors=errors, steps=steps(found),
        why=await site.service.why(user, found, fresh=fresh), can=_can(found), title=f"Task {found.key}", S=TaskState,
    )  # fmt: skip


async def batch(request: Request, site: Site, user: User) -> Response:
    """One batch, with the counts of its members."""
    key, fresh = request.query_params.get("key", "").strip(), LIVE not in request.headers
    found = await site.service.batch(user, key, fresh=fresh)
    return render(request, site, user, "batch.html", batch=found, title=f"Batch {found.key}")


class Step(NamedTuple):
    """One station in the life of a task."""

    text: str
    at: datetime | None
    done: bool
    kind: str


def steps(found: Task) -> list[Step]:
    """The life of a task: where it has been, where it is, and where it goes next."""
    made = [Step("enqueued", found.created_at, True, "")]
    if found.run_at > found.created_at:
        made.append(Step("due", found.run_at, found.state is not TaskState.SCHEDULED, ""))
    if found.started_at is not None:
        number = f", attempt {found.attempts}" if found.attempts > 1 else ""
        made.append(Step(f"started{number}", found.started_at, True, ""))
    if found.finished:
        made.append(Step(found.state.value, found.finished_at, True, found.state.value))
    elif found.state is not TaskState.SCHEDULED:
        made.append(Step(found.state.value, None, True, found.state.value))
    if not found.finished and found.expires_at is not None:
        made.append(Step("expires", found.expires_at, False, ""))
    return made


def _can(found: Task) -> dict[str, Any]:
    """Which acts make sense for a task as it stands."""
    waits = found.state in (TaskState.SCHEDULED, TaskState.READY)
    return {
        "retry": found.finished and found.state is not TaskState.COMPLETED,
        "run_now": found.state is TaskState.SCHEDULED,
        "cancel": not found.finished,
        "edit": waits,
        "delete": found.state is not TaskState.RUNNING,
    }
