"""The command `drain`: claim nothing more, and wait until what runs has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final

import typer

from mongoq import Pause, Progress, Queue, TaskState
from mongoq.cli.control.pausing import All, Names, Queues, Values, build_for, chosen, hold_up
from mongoq.cli.options import AsJson, place, refuse, span_option
from mongoq.cli.output import note, print_json, tell
from mongoq.cli.progress import progress_line

SEEN_WITHIN: Final = timedelta(seconds=3)
"""The fleet sees a pause within 2 s; until then a worker may claim once more."""
LOOK_EVERY: Final = 0.5


def drain(
    context: typer.Context,
    *,
    queues: Queues = None,
    names: Names = None,
    values: Values = None,
    everything: All = False,
    reason: Annotated[str | None, typer.Option(help="Why; shown with the pause.")] = "drain",
    timeout: Annotated[timedelta | None, span_option("Wait so long at most. Default: until all has ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """Pause these queues, names or tags, or all, and wait until none of their tasks runs; `resume` lets them go on.

    The exit code is 1 when some still run after --timeout: the pause stays. --json prints {"drained", "running"}.
    """
    wanted = chosen(queues, names, values, everything=everything)
    if not wanted:
        refuse("name queues, or give --name, --where or --all")
    with place(context).open(reading=True) as queue:
        paused = hold_up(queue, wanted, reason)
        build_for(queue, paused, quiet=as_json)
        with progress_line(quiet=as_json) as draw:
            left = _awaited(queue, paused, timeout, draw)
    if as_json:
        print_json({"drained": not left, TaskState.RUNNING: left})
    elif left:
        note(f"{left:,} task{'s' if left > 1 else ''} still run{'s' if left == 1 else ''}; the pause stays")
    else:
        tell(f"drained: {', '.join(map(str, paused))}; mongoq resume lets it go on")
    if left:
        raise typer.Exit(1)


def _awaited(
    queue: Queue, paused: list[Pause], timeout: timedelta | None, draw: Callable[[Progress], None] | None
) -> int:
    """Wait until nothing runs that the pauses hold up; return how many tasks still do."""
    begun, pause = queue.time(), threading.Event()
    while True:
        now, left = queue.time(), sum(_running(queue, one) for one in paused)
        if not left and now - begun >= SEEN_WITHIN:
            return 0
        if timeout is not None and now - begun >= timeout:
            return left
        if draw is not None:
            draw(Progress(f"{left:,} running; ended", 0))
        pause.wait(LOOK_EVERY)


def _running(queue: Queue, pause: Pause) -> int:
    where = {} if pause.tag is None else {pause.tag: pause.value}
    return queue.count(queue=pause.queue, name=pause.name, where=where, state=TaskState.RUNNING)
