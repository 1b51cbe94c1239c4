"""What `show` prints of a task, in the order in which it matters at three in the morning. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from mongoq import Task, TaskError, TaskProgress
from mongoq.cli.output import KEPT_TO_ITSELF, brief, clean, in_words, span
from mongoq.core.explaining.frames import folded
from mongoq.core.explaining.options import option_in_words

FIRST: Final = ("key", "state", "failure", "queue", "name", "parents", "errors", "tags", "policy", "age", "read_at")
"""Fields that have a place of their own."""
NOTHING: Final[tuple[object, ...]] = (None, {}, (), 0)
"""Values that say nothing."""
LONGEST: Final = 4_000
"""So many characters of a value are shown; --json prints all of them."""


def around_first(task: Task, why: str) -> Iterator[str]:
    """What somebody wants to know first: how it stands, its last error, how far it is, and what it is about."""
    yield row("key", clean(task.key))
    yield row("state", clean(_state(task)))
    if not task.finished:
        yield row("why", clean(why))
    if error := task.last_error:
        yield row("error", _headline(error))
        yield row("", f"attempt {error.attempt}, {brief(task.read_at - error.at)} ago")
    if task.progress:
        yield row("progress", _said(task.progress))
    yield row("queue", clean(task.queue))
    if task.name:
        yield row("name", clean(task.name))
    yield row("age", span(task.age))
    yield from (row(f"tags.{name}", _shortened(value)) for name, value in task.tags.items())


def described(task: Task, *, frames: bool) -> Iterator[str]:
    """The rest of what is known, then what the handler logged, the errors and the last traceback."""
    for item in fields(task):
        value = getattr(task, item.name)
        if item.name in KEPT_TO_ITSELF or item.name in FIRST or isinstance(value, TaskError | TaskProgress | bool):
            continue
        if value not in NOTHING:
            yield row(item.name, _value(item.name, value, task.read_at))
    yield from (row(f"policy.{name}", clean(option_in_words(name, value))) for name, value in task.policy.items())
    if task.progress and task.progress.log:
        yield f"\nlog of attempt {task.progress.attempt}"
        yield from (f"  {line.at:%Y-%m-%d %H:%M:%S}  {clean(line.text)}" for line in task.progress.log)
    if task.errors:
        yield "\nerrors"
        yield from (f"  {_told(error, task.read_at)}" for error in reversed(task.errors))
    if task.last_error and task.last_error.traceback:
        yield f"\nlast error, {_from(task.last_error)}"
        yield from _trace(task.last_error.traceback, frames=frames)


def _value(name: str, value: Any, now: datetime) -> str:
    if isinstance(value, datetime):
        return _when(value, now)
    if name == "limits":
        return clean(", ".join(one if weight == 1 else f"{one} (weight {weight})" for one, weight in value.items()))
    return _shortened(value)


def _from(error: TaskError) -> str:
    trace = "" if error.trace is None else f", trace {clean(error.trace)}"
    return f"attempt {error.attempt} on {clean(error.worker)}{trace}"


def row(name: str, text: str) -> str:
    """One line of a name and a value, which is clean."""
    return f"{clean(name.replace('_', ' ')):18}  {text}"


def _state(task: Task) -> str:
    if not task.finished:
        return f"{task.state}, asked to stop" if task.cancel_requested else str(task.state)
    reason = f" ({task.failure.replace('_', ' ')})" if task.failure else ""
    return f"{task.state}{reason}{f', {brief(task.read_at - task.finished_at)} ago' if task.finished_at else ''}"


def _trace(traceback: str, *, frames: bool) -> Iterator[str]:
    for part in folded(traceback):
        if part.folded and not frames:
            yield f"    ({part.folded} frame{'s' if part.folded > 1 else ''} of mongoq or libraries: --frames)"
        else:
            yield from (f"  {line}" for line in clean(part.text, lines=True).expandtabs().splitlines())


def _headline(error: TaskError) -> str:
    message = error.message.strip().partition("\n")[0]
    return clean(f"{error.type}: {message}" if message else error.type)


def _told(error: TaskError, now: datetime) -> str:
    where = f"attempt {error.attempt}, {brief(now - error.at)} ago on {error.worker}"
    return clean(f"{where}: {error.type}: {error.message}")


def _said(progress: TaskProgress) -> str:
    share = "" if progress.value is None else f"{progress.value:.0%} "
    return f"{share}{clean(progress.message or '')} (attempt {progress.attempt} at {progress.at.isoformat()})"


def _when(instant: datetime, now: datetime) -> str:
    away = f"in {brief(instant - now)}" if instant > now else f"{brief(now - instant)} ago"
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC ({away})"


def _shortened(value: Any) -> str:
    text = in_words(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters: --json)"
