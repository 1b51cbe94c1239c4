"""Commands that change tasks: those named by key at once, many tasks only after a confirmation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Final

import typer

from mongoq import DuplicateTask, Queue, TaskState
from mongoq.cli.acting.choosing import Choice, act, act_on_many, report
from mongoq.cli.looking.selecting import Selection, selecting
from mongoq.cli.options import AsJson, Keys, Yes, place, refuse, span_option
from mongoq.cli.output import note
from mongoq.core.lifecycle import FINISHED, LIVE, WAITING, Event, sources

DELETABLE: Final = (*WAITING, *FINISHED)


@selecting()
def cancel(
    context: typer.Context,
    *,
    keys: Keys = None,
    chosen: Selection,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel tasks: waiting ones at once; running ones are asked to stop.

    Give keys, or choose by the other options. --json prints {"count": N}.
    """

    def one(line: Queue, key: str) -> int:
        task = line.cancel(key)
        if task.finished and task.state is not TaskState.CANCELLED:
            note(f"the task {key} has ended already: it is {task.state}")
            return 0
        return 1

    choice = Choice("cancel", LIVE, chosen).instead_of(keys)
    act(context, choice, keys, one, lambda line, **of: line.cancel_all(**of), yes=yes, as_json=as_json)


@selecting()
def delete(
    context: typer.Context,
    *,
    keys: Keys = None,
    chosen: Selection,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete tasks that are not running; cancel running ones first.

    Give keys, or choose by the other options. --json prints {"count": N}.
    """
    choice = Choice("delete", DELETABLE, chosen).instead_of(keys)
    one: Callable[[Queue, str], int] = lambda line, key: line.delete(key)  # noqa: E731
    act(context, choice, keys, one, lambda line, **of: line.delete_all(**of), yes=yes, as_json=as_json)


@selecting()
def move(
    context: typer.Context,
    *,
    keys: Keys = None,
    to: Annotated[str, typer.Option(metavar="QUEUE", show_default=False, help="The queue to move to.")],
    chosen: Selection,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move waiting tasks to another queue, with a fresh count of attempts there.

    Give keys, or choose by the other options. --json prints {"count": N}.
    """
    choice = Choice("move", WAITING, chosen).instead_of(keys)
    one: Callable[[Queue, str], int] = lambda line, key: line.move(key, to)  # noqa: E731
    act(
        context,
        choice,
        keys,
        one,
        lambda line, **of: line.move_all(to, **of),
        yes=yes,
        as_json=as_json,
        also={"to": to},
    )


@selecting("queue", "name", "state")
def purge(
    context: typer.Context,
    *,
    chosen: Selection,
    older_than: Annotated[timedelta | None, span_option("Only those that finished longer ago.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete finished tasks now instead of at the end of their retention. --json prints {"count": N}."""
    choice = Choice("purge", FINISHED, chosen)
    with place(context).open(reading=True) as line:
        many = partial(Queue.purge, older_than=older_than or 0)
        count = act_on_many(line, choice, many, yes=yes, as_json=as_json, also={"older_than": older_than})
    report("purge", count, as_json=as_json)


@selecting(state=TaskState.FAILED)
def rerun(
    context: typer.Context,
    *,
    keys: Keys = None,
    chosen: Selection,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run failed tasks again with a fresh count of attempts; with --state cancelled or expired ones.

    Give keys (of tasks in any of these states), or choose by the other options. The exit code is 1 when a KEY
    was given and could not be run again. --json prints {"count": N}.
    """
    state = chosen.state or TaskState.FAILED
    choice = Choice("rerun", (state,), replace(chosen, state=None)).instead_of(keys)
    if state not in sources(Event.RERUN):
        refuse(f"--state {state}: only {', '.join(sources(Event.RERUN))} tasks can be run again")

    def one(line: Queue, key: str) -> int:
        try:
            line.rerun(key)
        except DuplicateTask as taken:
            note(f"{key}: {taken}")
            return 0
        return 1

    choice = replace(choice, among=chosen)
    act(context, choice, keys, one, lambda line, **of: line.rerun_all(**of), yes=yes, as_json=as_json)


def redrive(
    context: typer.Context,
    *,
    queue: Annotated[str, typer.Argument(metavar="QUEUE", show_default=False, help="The error queue.")],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY...]", show_default=False, help="Only these tasks.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many a second.", show_default="all at once")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move the dead letters of an error queue, all or only KEY..., back to their own queues, with fresh attempts.

    The exit code is 1 when a KEY was given and could not be moved. --json prints {"count": N}.
    """

    def one(line: Queue, key: str) -> int:
        done = line.redrive(queue, [key])
        if not done:
            task = line.get(key)
            why = f"is no task that was sent to {queue}, or its `unique` value is taken"
            note(f"{key} {why}: it is {task.state} in {task.queue}")
        return done

    choice = Choice("redrive", (TaskState.FAILED, *WAITING), Selection(queue))
    many: Callable[..., int] = lambda line, on_progress, **_: line.redrive(queue, rate=rate, on_progress=on_progress)  # noqa: E731
    act(context, choice, keys, one, many, yes=yes, as_json=as_json)
