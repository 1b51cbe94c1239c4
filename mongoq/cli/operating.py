"""Commands that change tasks: those named by key at once, many tasks only after a confirmation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Self

import typer

from mongoq import DuplicateTask, Queue, TaskNotFound, TaskState, WrongState
from mongoq.cli.options import AsJson, InState, Keys, OfName, OfQueue, Where, Yes, place, refuse, span_option, tags
from mongoq.cli.output import clean, note, print_json, say
from mongoq.cli.progress import progress_line
from mongoq.core.lifecycle import FINISHED, LIVE, WAITING, Event, sources

DELETABLE: Final = (*WAITING, *FINISHED)


def cancel(
    context: typer.Context,
    *,
    keys: Keys = None,
    queue: OfQueue = None,
    name: OfName = None,
    state: InState = None,
    where: Where = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel tasks: waiting ones at once; running ones are asked to stop.

    Give keys, or choose by --queue, --name, --state and --where. --json prints {"count": N}.
    """

    def one(line: Queue, key: str) -> int:
        task = line.cancel(key)
        if task.finished and task.state is not TaskState.CANCELLED:
            note(f"the task {key} has ended already: it is {task.state}")
            return 0
        return 1

    choice = _Choice("cancel", queue, state, where, LIVE, name).instead_of(keys)
    _act(context, choice, keys, one, lambda line, **chosen: line.cancel_all(**chosen), yes=yes, as_json=as_json)


def delete(
    context: typer.Context,
    *,
    keys: Keys = None,
    queue: OfQueue = None,
    name: OfName = None,
    state: InState = None,
    where: Where = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete tasks that are not running; cancel running ones first.

    Give keys, or choose by --queue, --name, --state and --where. --json prints {"count": N}.
    """
    choice = _Choice("delete", queue, state, where, DELETABLE, name).instead_of(keys)
    one: Callable[[Queue, str], int] = lambda line, key: line.delete(key)  # noqa: E731
    _act(context, choice, keys, one, lambda line, **chosen: line.delete_all(**chosen), yes=yes, as_json=as_json)


def move(
    context: typer.Context,
    *,
    keys: Keys = None,
    to: Annotated[str, typer.Option(metavar="QUEUE", show_default=False, help="The queue to move to.")],
    queue: OfQueue = None,
    name: OfName = None,
    state: InState = None,
    where: Where = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move waiting tasks to another queue, with a fresh count of attempts there.

    Give keys, or choose by --queue, --name, --state and --where. --json prints {"count": N}.
    """
    choice = _Choice("move", queue, state, where, WAITING, name).instead_of(keys)
    one: Callable[[Queue, str], int] = lambda line, key: line.move(key, to)  # noqa: E731
    _act(context, choice, keys, one, lambda line, **chosen: line.move_all(to, **chosen), yes=yes, as_json=as_json)


def purge(
    context: typer.Context,
    *,
    queue: OfQueue = None,
    name: OfName = None,
    state: InState = None,
    older_than: Annotated[timedelta | None, span_option("Only those that finished longer ago.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete finished tasks now instead of at the end of their retention. --json prints {"count": N}."""
    choice = _Choice("purge", queue, state, None, FINISHED, name)
    with place(context).open(reading=True) as line:
        if count := _agreed(line, choice, yes=yes):
            with progress_line(quiet=as_json, total=count) as draw:
                count = line.purge(queue=queue, name=name, state=state, older_than=older_than or 0, on_progress=draw)
    _report("purge", count, as_json=as_json)


def rerun(
    context: typer.Context,
    *,
    keys: Keys = None,
    queue: OfQueue = None,
    name: OfName = None,
    state: Annotated[TaskState, typer.Option("--state", help="Those in this state.")] = TaskState.FAILED,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Run failed tasks again with a fresh count of attempts; with --state cancelled or expired ones.

    Give keys (of tasks in any of these states), or --queue or --name. The exit code is 1 when a KEY
    was given and could not be run again. --json prints {"count": N}.
    """
    if bool(keys) == (queue is not None or name is not None):
        refuse("give keys, or --queue or --name, but not both")
    if state not in sources(Event.RERUN):
        refuse(f"--state {state}: only {', '.join(sources(Event.RERUN))} tasks can be run again")

    def one(line: Queue, key: str) -> int:
        try:
            line.rerun(key)
        except DuplicateTask as error:
            note(f"{key}: {error}")
            return 0
        return 1

    choice = _Choice("rerun", queue, state, None, (state,), name)
    _act(context, choice, keys, one, lambda line, **chosen: line.rerun_all(**chosen), yes=yes, as_json=as_json)


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

    choice = _Choice("redrive", queue, None, None, (TaskState.FAILED, *WAITING))
    many: Callable[..., int] = lambda line, on_progress, **_: line.redrive(queue, rate=rate, on_progress=on_progress)  # noqa: E731
    _act(context, choice, keys, one, many, yes=yes, as_json=as_json)


@dataclass(frozen=True)
class _Choice:
    """The selection of tasks when no keys are given."""

    verb: str
    queue: str | None
    state: TaskState | None
    where: list[str] | None
    touched: Sequence[TaskState]
    """The states in which the command changes a task."""
    name: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The selection as arguments of the API."""
        return {
            "queue": self.queue, "name": self.name, "state": self.state, "where": tags(self.where or []) or None,
        }  # fmt: skip

    def instead_of(self, keys: list[str] | None) -> Self:
        """Return the selection; refuse when both it and keys are given, or neither is."""
        if bool(keys) == any(value is not None for value in self.options.values()):
            refuse("give keys, or choose by --queue, --name, --state and --where, but not both")
        return self

    def count(self, queue: Queue) -> int:
        """Count the tasks that would be changed now."""
        states = [state for state in self.touched if self.state in (None, state)]
        return sum(queue.count(**{**self.options, "state": state}) for state in states)


def _act(
    context: typer.Context,
    choice: _Choice,
    keys: list[str] | None,
    one: Callable[[Queue, str], int],
    many: Callable[..., int],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    wanted = dict.fromkeys(keys or [])
    with place(context).open(reading=True) as queue:
        if wanted:
            count = sum([_tried(one, queue, key) for key in wanted])
        elif count := _agreed(queue, choice, yes=yes):
            with progress_line(quiet=as_json, total=count) as draw:
                count = many(queue, **choice.options, on_progress=draw)
    _report(choice.verb, count, as_json=as_json)
    if count < len(wanted):
        raise typer.Exit(1)


def _tried(one: Callable[[Queue, str], int], queue: Queue, key: str) -> int:
    """Change the task of one key; print why if that is not possible, and return 0."""
    try:
        return one(queue, key)
    except (TaskNotFound, WrongState) as error:
        note(str(error))
        return 0


def _agreed(queue: Queue, choice: _Choice, *, yes: bool) -> int:
    """How many tasks may be changed now: the user confirms it, where there are some."""
    count = choice.count(queue)
    if yes or not count:
        return count
    question = f"{choice.verb} {count:,} task{'s' if count > 1 else ''} of {clean(queue.namespace)}?"
    if not sys.stdin.isatty():
        refuse(f"{question} Nobody can be asked here: say --yes")
    if not typer.confirm(question, err=True):
        note("nothing was changed")
        raise typer.Exit(1)
    return count


def _report(verb: str, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"count": count})
    else:
        say(f"{verb}: {count:,} task{'s' if count != 1 else ''}")
