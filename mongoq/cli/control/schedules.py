"""`mongoq schedules`: list schedules with their ticks, pause, resume and delete them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from mongoq import Queue, Schedule, ScheduleNotFound
from mongoq.cli.acting.auditing import audited
from mongoq.cli.options import AsJson, place, refuse
from mongoq.cli.output import Sheet, note, print_json, show, span
from mongoq.core.explaining.options import lasting

ACTIONS: Final = ("list", "pause", "resume", "delete")


def schedules(
    context: typer.Context,
    *,
    action: Annotated[
        str, typer.Argument(metavar="[list|pause|resume|delete]", help="What to do with them.", show_default=False)
    ] = "list",
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", show_default=False, help="These schedules.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="With pause: why; shown in the list.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the schedules with their last and next ticks; pause, resume or delete some.

    `mongoq schedules pause nightly --reason "the warehouse moves"`. The exit code is 1 if there is no schedule NAME;
    the others are done. --json prints a list; `delete` prints {"count": N}.
    """
    if action not in ACTIONS:
        refuse(f"{action!r} is not one of {', '.join(ACTIONS)}")
    if (action == "list") != (not names):
        refuse("list takes no names" if names else f"name the schedules to {action}")
    if reason is not None and action != "pause":
        refuse("--reason goes with pause")
    with place(context).open(reading=True) as queue:
        if action == "list":
            _print(queue.schedules(), queue.time(), as_json=as_json)
            return
        done = _each(queue, action, names or [], reason)
        if action == "delete" and as_json:
            print_json({"count": len(done)})
        elif action != "delete":
            _print(done, queue.time(), as_json=as_json)
    if len(done) < len(names or []):
        raise typer.Exit(1)


def _act(queue: Queue, action: str, reason: str | None) -> Callable[[str], Any]:
    if action == "pause":
        return lambda name: queue.pause_schedule(name, reason=reason)
    return queue.resume_schedule if action == "resume" else queue.delete_schedule


def _each(queue: Queue, action: str, names: list[str], reason: str | None) -> list[Any]:
    act, done = _act(queue, action, reason), []
    for name in names:
        try:
            with audited(queue, f"{action}_schedule", {"name": name}):
                done.append(act(name))
        except ScheduleNotFound as error:
            note(str(error))
    return done


def _print(found: list[Schedule], now: datetime, *, as_json: bool) -> None:
    if as_json:
        print_json([_plain(one) for one in found])
        return
    columns = ("name", "when", "queue", "last", "next", "skipped", "note")
    rows = [
        (one.name, _when(one), one.task.queue, _ago(one.last_at, now), _next(one, now), one.skipped, one.reason or "")
        for one in found
    ]
    show([Sheet("schedules", columns, rows, empty="no schedules")])


def _when(one: Schedule) -> str:
    if one.every is not None:
        return f"every {lasting(one.every)}"
    return str(one.cron) if one.tz == "UTC" else f"{one.cron} {one.tz}"


def _ago(instant: datetime | None, now: datetime) -> str:
    return "-" if instant is None else f"{span(now - instant)} ago"


def _next(one: Schedule, now: datetime) -> str:
    if one.paused:
        return "paused"
    if one.next_at is None:
        return "never"
    return f"in {span(one.next_at - now)}" if one.next_at > now else "due"


def _plain(one: Schedule) -> dict[str, Any]:
    told = {item.name: getattr(one, item.name) for item in fields(one) if item.name not in ("task", "anchor")}
    task = one.task
    return {**told, "queue": task.queue, "task": task.name, "tags": task.tags, "priority": task.priority}
