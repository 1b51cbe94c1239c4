"""Which tasks a command changes: those of given keys at once, those that options choose after a confirmation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

import typer

from mongoq import Progress, Queue, TaskNotFound, TaskState, WrongState
from mongoq.cli.acting.auditing import audited
from mongoq.cli.looking.selecting import Selection
from mongoq.cli.options import place, refuse
from mongoq.cli.output import clean, note, print_json, say
from mongoq.cli.progress import progress_line

_WORDS: Final = {"rerun": "retry"}
"""What the audit calls a command, where the dashboard has another word for it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The selection of tasks when no keys are given."""

    verb: str
    touched: Sequence[TaskState]
    """The states in which the command changes a task."""
    among: Selection
    """What the options say."""

    def options(self, now: Callable[[], datetime]) -> dict[str, Any]:
        """The selection as arguments of the API."""
        return self.among.options(now)

    def instead_of(self, keys: list[str] | None) -> Self:
        """Return the selection; refuse when both it and keys are given, or neither is."""
        if bool(keys) == bool(self.options(lambda: datetime.now(UTC))):
            refuse("give keys, or choose by the other options, but not both")
        return self

    def count(self, queue: Queue, options: dict[str, Any]) -> int:
        """Count the tasks that would be changed now."""
        states = [state for state in self.touched if self.among.state in (None, state)]
        return sum(queue.count(**{**options, "state": state}) for state in states)


def act(
    context: typer.Context,
    choice: Choice,
    keys: list[str] | None,
    one: Callable[[Queue, str], int],
    many: Callable[..., int],
    *,
    yes: bool,
    as_json: bool,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Change the tasks of these keys by `one`, or those that are chosen by `many`, and report how many were."""
    wanted = dict.fromkeys(keys or [])
    with place(context).open(reading=True) as queue:
        if wanted:
            with audited(
                queue, _WORDS.get(choice.verb, choice.verb), {"keys": ", ".join(wanted), **(also or {})}
            ) as tell:
                tell(count := sum([_tried(one, queue, key) for key in wanted]))
        else:
            count = act_on_many(queue, choice, many, yes=yes, as_json=as_json, also=also)
    report(choice.verb, count, as_json=as_json)
    if count < len(wanted):
        raise typer.Exit(1)


def act_on_many(
    queue: Queue,
    choice: Choice,
    many: Callable[..., int],
    *,
    yes: bool,
    as_json: bool,
    also: Mapping[str, Any] | None = None,
) -> int:
    """Change the tasks that are chosen by `many`, once the user has agreed; return how many were.

    `also` is what the audit tells of the act beside the choice.
    """
    options = choice.options(queue.time)
    count = agreed(queue, choice, options, yes=yes)
    if not count:
        return 0
    word = _WORDS.get(choice.verb, choice.verb)
    with audited(queue, f"{word}_all", {**options, **(also or {})}) as tell:
        with progress_line(quiet=as_json, total=count) as draw:

            def came(progress: Progress) -> None:
                tell(progress.done)
                if draw is not None:
                    draw(progress)

            count = many(queue, **options, on_progress=came)
        tell(count)
    return count


def _tried(one: Callable[[Queue, str], int], queue: Queue, key: str) -> int:
    """Change the task of one key; print why if that is not possible, and return 0."""
    try:
        return one(queue, key)
    except (TaskNotFound, WrongState) as error:
        note(str(error))
        return 0


def agreed(queue: Queue, choice: Choice, options: dict[str, Any], *, yes: bool) -> int:
    """How many tasks may be changed now: the user confirms it, where there are some."""
    count = choice.count(queue, options)
    if yes or not count:
        return count
    question = f"{choice.verb} {count:,} task{'s' if count > 1 else ''} of {clean(queue.namespace)}?"
    if not sys.stdin.isatty():
        refuse(f"{question} Nobody can be asked here: say --yes")
    if not typer.confirm(question, err=True):
        note("nothing was changed")
        raise typer.Exit(1)
    return count


def report(verb: str, count: int, *, as_json: bool) -> None:
    """Print how many tasks were changed."""
    if as_json:
        print_json({"count": count})
    else:
        say(f"{verb}: {count:,} task{'s' if count != 1 else ''}")
