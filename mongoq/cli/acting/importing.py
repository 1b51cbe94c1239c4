"""The command `import`: read an export once to decide, and once more to enqueue its tasks."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any, Final, NamedTuple

import typer

from mongoq import InvalidTask, NewTask, Queue, Task
from mongoq.cli.acting import import_plan
from mongoq.cli.acting.auditing import audited
from mongoq.cli.acting.exporting import LIMIT, LIMIT_FIELDS
from mongoq.cli.acting.import_plan import Survey
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import print_json, say
from mongoq.core.lifecycle import LIVE
from mongoq.core.validation import shortened

IN_MEMORY: Final = 8 << 20
"""So much of stdin is kept in memory; a file on the disk takes more."""
TOGETHER: Final = 1_000
"""Parents that are looked for by one find."""


class Line(NamedTuple):
    """One line of an export."""

    number: int
    offset: int
    record: Any


def import_(
    context: typer.Context,
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", show_default=False, help="Lines of `export`; default: stdin.")
    ] = None,
    finished: Annotated[bool, typer.Option("--finished", help="Also those that had ended: they run again.")] = False,
    without_parents: Annotated[
        bool, typer.Option("--without-parents", help="Tasks whose parents had ended run without these.")
    ] = False,
    without_batches: Annotated[
        bool, typer.Option("--without-batches", help="Leave out batches that have not called back, and members.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue the tasks of an `export` with their keys and all that was given to them, each after its parents.

    Each begins with fresh attempts. Tasks that had ended are left out, unless --finished is given. Tasks whose key or
    unique value is taken are skipped, so an import that was interrupted can simply be repeated. Missing limits are
    created. All lines are checked first: if one is refused, nothing is written. Batches are refused.
    --json prints {"enqueued", "skipped", "ended", "left_out"}.
    """
    with ExitStack() as stack:
        source = stack.enter_context(_source(file))
        survey = _surveyed(source, Survey(finished=finished, without_batches=without_batches))
        line = stack.enter_context(place(context).open())
        after = import_plan.families(survey, _there(line, survey.elsewhere), without_parents=without_parents)
        order = list(import_plan.in_order(after))
        limits = import_plan.missing_limits(survey, {one.name: one for one in line.limits()})
        with audited(line, "import", {"file": file or "stdin"}) as tell:
            for limit in limits:
                line.limit(**limit)
            tell(enqueued := line.load(_made(source, survey, after, order), on_conflict="skip"))
    _report(survey, enqueued, as_json=as_json)


def _report(survey: Survey, enqueued: int, *, as_json: bool) -> None:
    skipped = survey.read - survey.ended - survey.left_out - enqueued
    if as_json:
        print_json({"enqueued": enqueued, "skipped": skipped, "ended": survey.ended, "left_out": survey.left_out})
        return
    batches = f", {survey.left_out:,} of batches left out" if survey.left_out else ""
    say(f"import: {enqueued:,} enqueued, {skipped:,} there already, {survey.ended:,} had ended{batches}")


def _source(file: Path | None) -> IO[bytes]:
    """The lines, to be read more than once."""
    if file is not None:
        return file.open("rb")
    kept = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 -- who calls closes it
    shutil.copyfileobj(sys.stdin.buffer, kept)
    return kept


def _surveyed(source: IO[bytes], survey: Survey) -> Survey:
    """Read and check all lines."""
    for line in _lines(source):
        if isinstance(line.record, dict) and LIMIT in line.record:
            limit = _limit(line)
            survey.limits[limit["name"]] = limit
            continue
        task = _task(line)
        if survey.takes(task):
            _again(line, task, ())
        survey.note(line.number, line.offset, task)
    import_plan.check_batches(survey)
    return survey


def _made(
    source: IO[bytes], survey: Survey, after: Mapping[str, tuple[str, ...]], order: list[str]
) -> Iterator[NewTask]:
    """The tasks to be enqueued: those that run after none as they come, then the others behind their parents."""
    for line in _lines(source):
        if LIMIT not in line.record:
            task = _task(line)
            if task.key not in after and survey.takes(task):
                yield _again(line, task, ())
    for key in order:
        number, offset, *_ = survey.waiters[key]
        source.seek(offset)
        line = Line(number, offset, json.loads(source.readline()))
        yield _again(line, _task(line), after[key])


def _there(line: Queue, keys: list[str]) -> frozenset[str]:
    """Those of these tasks that the namespace has."""
    parts = [keys[start : start + TOGETHER] for start in range(0, len(keys), TOGETHER)]
    return frozenset(task.key for part in parts for task in line.tasks(keys=part, payload=False, limit=None))


def _lines(source: IO[bytes]) -> Iterator[Line]:
    source.seek(0)
    offset = number = 0
    while text := source.readline():
        number += 1
        if text.strip():
            try:
                yield Line(number, offset, json.loads(text))
            except (ValueError, RecursionError) as error:
                raise InvalidTask(f"line {number}: no task of an export: {error}") from None
        offset += len(text)


def _task(line: Line) -> Task:
    try:
        return Task.from_dict(line.record)
    except (ValueError, RecursionError, InvalidTask) as error:
        raise InvalidTask(f"line {line.number}: no task of an export: {error}") from None


def _limit(line: Line) -> Mapping[str, Any]:
    """The arguments of `queue.limit` that make a limit, which checks their values."""
    given: Mapping[str, Any] = line.record[LIMIT]
    names = set(given) if isinstance(given, dict) else set()
    if not {"name", "order"} <= names <= LIMIT_FIELDS:
        raise InvalidTask(f"line {line.number}: no limit of an export: {shortened(given)}")
    return given


def _again(line: Line, task: Task, after: tuple[str, ...]) -> NewTask:
    """A task to be enqueued anew, as it was when it was enqueued first."""
    changes: dict[str, Any] = {"key": task.key, "on_conflict": "skip"}
    if task.state in LIVE:
        changes |= {"run_at": task.run_at, "expires_at": task.expires_at}
    if after:
        changes |= {"after": after, "on_parent_failure": task.on_parent_failure}
    try:
        return task.again(**changes)
    except InvalidTask as error:
        raise InvalidTask(f"line {line.number}: {error}") from None
