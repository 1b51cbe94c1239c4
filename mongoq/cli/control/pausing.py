"""Commands that hold a fleet up, let it go on, and end single workers: `pause`, `resume`, `stop-worker`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from mongoq import MongoqError, Pause, Queue
from mongoq.cli.acting.auditing import audited, operator
from mongoq.cli.options import AsJson, duration, place, refuse, tags
from mongoq.cli.output import Sheet, clean, note, print_json, say, show, span
from mongoq.cli.progress import progress_line

Queues = Annotated[list[str] | None, typer.Argument(metavar="[QUEUE...]", show_default=False, help="These queues.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Tasks of this name; may be repeated.")]
Values = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="TAG=VALUE", help="Tasks with this value of a tag; may be repeated."),
]
All = Annotated[bool, typer.Option("--all", help="Everything in the namespace.")]


def pause(
    context: typer.Context,
    *,
    queues: Queues = None,
    names: Names = None,
    values: Values = None,
    everything: All = False,
    reason: Annotated[str | None, typer.Option(help="Why; shown with the pause.")] = None,
    lasts: Annotated[
        timedelta | None,
        typer.Option("--for", parser=duration, metavar="DURATION", help="It ends by itself after this time."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Stop claims of these queues, names, values of tags, or all, until they are resumed; without any, list the pauses.

    Running tasks go on. Each --where TAG=VALUE is a pause of its own: tenant=acme, or shop=7, a number, or shop='"7"',
    a string. The first pause of a name or a value builds two indexes, once it is in force; in a large namespace that
    takes minutes, and the progress is shown. --json prints a list of the pauses.
    """
    wanted = chosen(queues, names, values, everything=everything)
    with place(context).open(reading=True) as queue:
        build_for(queue, hold_up(queue, wanted, reason, lasts), quiet=as_json)
        found = queue.pauses()
        if as_json:
            print_json([_plain(one) for one in found])
        else:
            show([sheet(queue, found)])


def resume(
    context: typer.Context,
    *,
    queues: Queues = None,
    names: Names = None,
    values: Values = None,
    everything: All = False,
    as_json: AsJson = False,
) -> None:
    """End the pauses of these queues, names or values of tags; --all ends the pause of everything.

    The exit code is 1 where one of them was not paused. --json prints {"count": N}.
    """
    wanted = chosen(queues, names, values, everything=everything)
    if not wanted:
        refuse("name queues, or give --name, --where or --all")
    with place(context).open(reading=True) as queue:
        count = 0
        for one in wanted:
            with audited(queue, "resume", one):
                resumed = queue.resume(**one)
            count += resumed
            if not resumed:
                note(f"{clean(_named(one))} was not paused")
    if as_json:
        print_json({"count": count})
    if count < len(wanted):
        raise typer.Exit(1)


def stop_worker(
    context: typer.Context,
    *,
    worker: Annotated[
        str, typer.Argument(metavar="HOST:PID", show_default=False, help="The process, as `mongoq workers` lists it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Let a worker process end, wherever it runs: it claims nothing more and stops when what it runs has ended.

    --json prints the ids of the workers that were asked.
    """
    with place(context).open(reading=True) as queue, audited(queue, "stop_worker", {"worker": worker}):
        asked = queue.stop_worker(worker)
    if as_json:
        print_json(asked)
    else:
        say("\n".join(f"asked to stop: {clean(one)}" for one in asked))


def hold_up(
    queue: Queue, wanted: list[dict[str, Any]], reason: str | None, lasts: timedelta | None = None
) -> list[Pause]:
    """Pause each of these, in the name of whoever runs the command."""
    pauses = []
    for one in wanted:
        with audited(queue, "pause", one):
            pauses.append(queue.pause(**one, reason=reason, until=lasts, by=operator()))
    return pauses


def build_for(queue: Queue, paused: list[Pause], *, quiet: bool) -> None:
    """Build the indexes without which claims walk over the tasks of these pauses, which are in force already."""
    if not any(one.walked_over for one in paused):
        return
    note(
        "the pause is in force. Claims read its tasks when they pass over them, until two indexes are built: that is "
        "done now. Tasks go on meanwhile; after Ctrl-C the server goes on, and `mongoq init` waits for the end"
    )
    try:
        with progress_line(quiet=quiet) as draw:
            queue.init(on_progress=draw)
    except MongoqError as error:
        note(f"the pause stays in force, but the indexes are not there: {clean(str(error))}")


def sheet(queue: Queue, found: list[Pause]) -> Sheet:
    """Make the table of the pauses."""
    now = queue.time()
    rows = [
        (str(one), one.by, f"{span(now - one.at)} ago", span(one.until - now if one.until else None), one.reason or "")
        for one in found
    ]
    return Sheet("pauses", ("paused", "by", "since", "ends in", "reason"), rows, empty="no pauses")


def chosen(
    queues: list[str] | None, names: list[str] | None, values: list[str] | None, *, everything: bool
) -> list[dict[str, Any]]:
    """What each single pause is for, of what was given, as `Queue.pause` and `Queue.resume` take it."""
    found: list[dict[str, Any]] = [{"queue": queue} for queue in queues or []]
    found += [{"name": name} for name in names or []]
    found += [{"where": _value(pair)} for pair in dict.fromkeys(values or [])]
    return [*found, *([{"everything": True}] if everything else [])]


def _value(pair: str) -> dict[str, Any]:
    found = tags([pair])
    if type(next(iter(found.values()))) not in (str, int, bool):
        refuse(f"--where: {pair!r} is no TAG=VALUE whose value is a text, an integer, true or false")
    return found


def _named(one: dict[str, Any]) -> str:
    ((what, value),) = one.items()
    if what == "where":
        return ", ".join(f"{tag}={wanted!r}" for tag, wanted in value.items())
    return "everything" if what == "everything" else str(value)


def _plain(one: Pause) -> dict[str, object]:
    told = {"queue": one.queue, "name": one.name, "tag": one.tag, "value": one.value}
    told |= {"reason": one.reason, "by": one.by}
    return {**told, "at": one.at, "until": one.until}
