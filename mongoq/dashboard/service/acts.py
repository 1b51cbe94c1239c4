"""The acts, each with the rights that it takes; `Service.act` checks them and writes the audit."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mongoq import ConfigurationError, LimitNotFound
from mongoq.dashboard.access.rights import Right
from mongoq.dashboard.service.gateway import Gateway
from mongoq.dashboard.service.view import instant, tags, view_from

Values = Mapping[str, str]
Counting = Callable[[int], None]
Run = Callable[[Gateway, Values, Counting], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a form asks for."""

    rights: tuple[Right, ...]
    run: Run
    """It returns how many tasks, queues, workers or schedules were changed."""
    done: str
    """What is said when it has succeeded; `{n}` is the count."""
    asks: str | None = None
    """What is asked first; None: it is done at once."""
    many: bool = False
    """Whether it is for all tasks of a view; it is asked with the number of them."""


def one(verb: str, **options: Any) -> Run:
    """Call a verb with the key of the task."""

    async def run(gateway: Gateway, values: Values, _: Counting) -> int:
        await gateway.ask(verb, needed(values, "key"), **options)
        return 1

    return run


def many(verb: str) -> Run:
    """Call a verb for all tasks of a view."""

    async def run(gateway: Gateway, values: Values, counting: Counting) -> int:
        view = view_from(values)
        if not view.plain:
            raise ConfigurationError("this act knows state, queue, name and tags alone: take the other filters away")
        chosen = {"queue": view.queue or None, "name": view.name or None, "where": tags(view.tag) or None}
        state = {} if view.state is None else {"state": view.state}
        done: int = await gateway.ask(verb, **chosen, **state, on_progress=lambda progress: counting(progress.done))
        return done

    return run


async def retry_many(gateway: Gateway, values: Values, counting: Counting) -> int:
    """Run all tasks of a view again, by one verb: pages would lose their place as their tasks leave them."""
    view, now = view_from(values), datetime.now(UTC)
    if view.prefix:
        raise ConfigurationError("prefix: this act does not know how keys begin: take this filter away")
    chosen: dict[str, Any] = {"queue": view.queue, "name": view.name, "where": tags(view.tag), "error": view.error}
    chosen |= {"since": instant("since", view.since, now), "until": instant("until", view.until, now)}
    chosen |= {"state": view.state}
    told = {name: value for name, value in chosen.items() if value}
    return int(await gateway.ask("rerun_all", **told, on_progress=lambda progress: counting(progress.done)))


async def move(gateway: Gateway, values: Values, _: Counting) -> int:
    """Put a waiting task into another queue."""
    task = await gateway.ask("get", needed(values, "key"))
    await gateway.ask("modify", change=[task.as_change(queue=needed(values, "to"))])
    return 1


async def edit(gateway: Gateway, values: Values, _: Counting) -> int:
    """Change a waiting task, unless somebody else has changed it since the page was made."""
    change: dict[str, Any] = {}
    if values.get("priority"):
        change["priority"] = whole("priority", values["priority"])
    if values.get("run_at"):
        change["run_at"] = instant("run_at", values["run_at"], datetime.now(UTC))
    if values.get("tags"):
        change["tags"] = document("tags", values["tags"])
    await gateway.ask("update", needed(values, "key"), **change, if_version=whole("version", needed(values, "version")))
    return 1


async def duplicate(gateway: Gateway, values: Values, _: Counting) -> int:
    """Enqueue a copy of a task."""
    task = await gateway.ask("get", needed(values, "key"))
    await gateway.ask("new_many", [task.again(unique=None)])
    return 1


async def pause(gateway: Gateway, values: Values, _: Counting) -> int:
    """Pause a queue, a name or everything."""
    lasts = None if not values.get("minutes") else whole("minutes", values["minutes"]) * 60
    told = {"reason": values.get("reason") or None, "until": lasts, "by": values.get("by") or None}
    await gateway.ask("pause", **_target(values), **told)
    return 1


async def resume(gateway: Gateway, values: Values, _: Counting) -> int:
    """End a pause."""
    return int(await gateway.ask("resume", **_target(values)))


async def stop_worker(gateway: Gateway, values: Values, _: Counting) -> int:
    """Let a worker end."""
    return len(await gateway.ask("stop_worker", needed(values, "worker")))


def named(verb: str) -> Run:
    """Call a verb with the name of a schedule or a limit."""

    async def run(gateway: Gateway, values: Values, _: Counting) -> int:
        await gateway.ask(verb, needed(values, "name"))
        return 1

    return run


async def edit_schedule(gateway: Gateway, values: Values, _: Counting) -> int:
    """Change the expression of a schedule, and its time zone."""
    zone = {"tz": values["tz"]} if values.get("tz") else {}
    await gateway.ask("schedule", needed(values, "name"), needed(values, "cron"), **zone)
    return 1


async def edit_limit(gateway: Gateway, values: Values, _: Counting) -> int:
    """Change the numbers of a limit."""
    name = needed(values, "name")
    known = next((one for one in await gateway.ask("limits") if one.name == name), None)
    if known is None:
        raise LimitNotFound(f"no limit has the name {name!r}")
    kept: dict[str, Any] = {"by": known.by, "order": known.order}
    if known.concurrency is not None:
        kept["concurrency"] = whole("concurrency", needed(values, "concurrency"))
    if known.rate is not None:
        kept |= {"rate": decimal("rate", needed(values, "rate")), "per": known.per, "burst": known.burst}
    await gateway.ask("limit", name, **kept)
    return 1


async def redrive(gateway: Gateway, values: Values, counting: Counting) -> int:
    """Send dead letters home."""
    rate = None if not values.get("rate") else whole("rate", values["rate"])
    listener = {"on_progress": lambda progress: counting(progress.done)}
    return int(await gateway.ask("redrive", needed(values, "queue"), rate=rate, **listener))


def needed(values: Values, field: str) -> str:
    """A field of a form; ConfigurationError where it is empty."""
    if not values.get(field):
        raise ConfigurationError(f"{field}: nothing is given")
    return values[field]


def whole(field: str, text: str) -> int:
    """A whole number of a form."""
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{field}: {text!r} is not a whole number") from None


def decimal(field: str, text: str) -> float:
    """A number of a form."""
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{field}: {text!r} is not a number") from None


def document(field: str, text: str) -> dict[str, Any]:
    """A JSON object of a form."""
    try:
        read = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{field}: not JSON: {error}") from None
    if not isinstance(read, dict):
        raise ConfigurationError(f"{field}: {text[:50]!r} is not a JSON object")
    return read


def _target(values: Values) -> dict[str, Any]:
    if values.get("everything"):
        return {"everything": True}
    return {"queue": values.get("queue") or None, "name": values.get("name") or None}


R = Right
ACTS: Final[dict[str, Act]] = {
    "retry": Act((R.RETRY,), one("rerun"), "The task runs again"),
    "run_now": Act((R.RUN_NOW,), one("update", delay=0), "The task is due now"),
    "cancel": Act(
        (R.CANCEL,), one("cancel"), "The task is cancelled, or its handler asked to stop", "Cancel this task?"
    ),
    "delete": Act((R.DELETE,), one("delete"), "The task is deleted", "Delete this task for good?"),
    "move": Act((R.MOVE,), move, "The task is in its new queue"),
    "edit": Act((R.EDIT,), edit, "The task is changed"),
    "duplicate": Act((R.EDIT,), duplicate, "A copy of the task is enqueued"),
    "retry_all": Act((R.BULK, R.RETRY), retry_many, "{n} tasks run again", "Run these tasks again?", many=True),
    "cancel_all": Act((R.BULK, R.CANCEL), many("cancel_all"), "{n} tasks cancelled", "Cancel these tasks?", many=True),
    "delete_all": Act(
        (R.BULK, R.DELETE), many("delete_all"), "{n} tasks deleted", "Delete these tasks for good?", many=True
    ),
    "pause": Act((R.PAUSE,), pause, "Paused: nothing of it is claimed"),
    "resume": Act((R.PAUSE,), resume, "Resumed"),
    "stop_worker": Act(
        (R.WORKERS,), stop_worker, "The worker stops when what it runs has ended", "Let this worker process end?"
    ),
    "pause_schedule": Act((R.SCHEDULES,), named("pause_schedule"), "The schedule is paused"),
    "resume_schedule": Act((R.SCHEDULES,), named("resume_schedule"), "The schedule ticks again"),
    "delete_schedule": Act(
        (R.SCHEDULES,), named("delete_schedule"), "The schedule is deleted", "Delete this schedule for good?"
    ),
    "edit_schedule": Act((R.SCHEDULES,), edit_schedule, "The schedule is changed"),
    "edit_limit": Act((R.LIMITS,), edit_limit, "The limit is changed"),
    "delete_limit": Act(
        (R.LIMITS,), named("delete_limit"), "The limit is lifted", "Lift this limit? Whatever waits for it runs."
    ),
    "redrive": Act(
        (R.BULK, R.RETRY), redrive, "{n} dead letters sent home", "Send all dead letters of this queue back home?"
    ),
}
"""By the name that a form gives."""
