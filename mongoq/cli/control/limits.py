"""`mongoq limits`: list limits, show the groups of one, make, change and delete them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from mongoq import Limit, LimitGroup, LimitNotFound, LimitStats, Queue
from mongoq.cli.acting.auditing import audited
from mongoq.cli.options import AsJson, duration, place, refuse
from mongoq.cli.output import Sheet, note, print_json, show, span
from mongoq.core.explaining.options import lasting

ACTIONS: Final = ("list", "show", "set", "delete")
SUMS: Final = ("running", "waiting", "groups_running", "groups_waiting", "fullest")
"""What --json tells of the use of each limit."""
SECOND: Final = timedelta(seconds=1)


def limits(
    context: typer.Context,
    *,
    action: Annotated[
        str, typer.Argument(metavar="[list|show|set|delete]", help="What to do with them.", show_default=False)
    ] = "list",
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", show_default=False, help="These limits.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="With set: how many of a group run at once.", show_default=False)
    ] = None,
    rate: Annotated[float | None, typer.Option(help="With set: how many start in --per.", show_default=False)] = None,
    per: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="With set: the time of --rate. Default: 1s."),
    ] = None,
    burst: Annotated[int, typer.Option(help="With set: how many may start together after a pause.")] = 1,
    by: Annotated[str | None, typer.Option(help="With set: the tag that makes the groups.", show_default=False)] = None,
    order: Annotated[str, typer.Option(help="With set: priority or fifo.")] = "priority",
    as_json: AsJson = False,
) -> None:
    """List the limits with what runs and waits under each; show the groups of some; set one; delete some.

    `mongoq limits set stripe --rate 90 --per 1m`. A changed number takes effect within 2 s. The exit code is 1 if there
    is no limit NAME; the others are done. --json prints a list; `delete` prints {"count": N}.
    """
    chosen = names or []
    if action not in ACTIONS:
        refuse(f"{action!r} is not one of {', '.join(ACTIONS)}")
    if (action == "list") != (not chosen):
        refuse("list takes no names" if chosen else f"name the limits to {action}")
    if action == "set" and len(chosen) > 1:
        refuse("set takes one name")
    if action != "set" and (concurrency is not None or rate is not None):
        refuse("--concurrency and --rate go with set")
    with place(context).open(reading=True) as queue:
        if action == "set":
            numbers: dict[str, Any] = {"concurrency": concurrency, "rate": rate, "per": per or 1, "burst": burst}
            with audited(queue, "edit_limit", {"name": chosen[0], **numbers}):
                queue.limit(chosen[0], **numbers, by=by, order=order)
        done = _delete(queue, chosen) if action == "delete" else len(chosen)
        if action == "show":
            done = _show(queue, chosen, as_json=as_json)
        elif action != "delete":
            _list(queue, as_json=as_json)
        elif as_json:
            print_json({"count": done})
    if done < len(chosen):
        raise typer.Exit(1)


def _delete(queue: Queue, names: Sequence[str]) -> int:
    done = 0
    for name in names:
        try:
            with audited(queue, "delete_limit", {"name": name}):
                queue.delete_limit(name)
            done += 1
        except LimitNotFound as error:
            note(str(error))
    return done


def _list(queue: Queue, *, as_json: bool) -> None:
    stats = queue.limit_stats()  # one count for all: groups of 200 limits took 200 finds
    found = [(limit, stats.get(limit.name) or LimitStats(limit.name)) for limit in queue.limits()]
    if as_json:
        print_json([_plain(limit) | {name: getattr(use, name) for name in SUMS} for limit, use in found])
        return
    rows = [
        (limit.name, limit.by or "-", limit.concurrency or "-", _rate(limit), use.running, use.fullest, use.waiting)
        for limit, use in found
    ]
    columns = ("name", "by", "at once", "rate", "running", "fullest", "waiting")
    show([Sheet("limits", columns, rows, empty="no limits")])


def _show(queue: Queue, names: Sequence[str], *, as_json: bool) -> int:
    found: list[LimitGroup] = []
    done = 0
    for name in names:
        try:
            found += queue.limit_state(name)
            done += 1
        except LimitNotFound as error:
            note(str(error))
    if as_json:
        print_json([asdict(group) for group in found])
        return done
    now = queue.time()
    rows = [
        (one.limit, one.value or "-", one.running, one.waiting, _next(one.next_at, now), one.behind or "")
        for one in found
    ]
    show(
        [
            Sheet(
                "groups",
                ("limit", "value", "running", "waiting", "next", "behind"),
                rows,
                empty="no task of it runs or waits",
            )
        ]
    )
    return done


def _rate(limit: Limit) -> str:
    if limit.rate is None:
        return "-"
    per = "s" if limit.per == SECOND else lasting(limit.per)
    return f"{limit.rate:g}/{per}" + (f", burst {limit.burst}" if limit.burst > 1 else "")


def _next(instant: datetime | None, now: datetime) -> str:
    if instant is None:
        return "-"
    return f"in {span(instant - now)}" if instant > now else "now"


def _plain(limit: Limit) -> dict[str, Any]:
    told = asdict(limit) | {"per": limit.per.total_seconds()}
    del told["highest"]
    return told
