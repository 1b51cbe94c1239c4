"""The command that says what is wrong, and what to do: `doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import typer

from mongoq.cli.options import AsJson, place
from mongoq.cli.output import clean, print_json, say
from mongoq.cli.printing.width import hanging, room
from mongoq.diagnosis import Diagnosis, Finding, Level, NotRun

INDENT = 9
"""Columns of the level, with the space behind it."""


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look for what is wrong with the server, the fleet, the tasks and this user's rights, and say what to do.

    The exit code is 1 where something must be mended; warnings and notes exit with 0. It reads only, for about 20 s at
    most. --json prints {"findings": [{"check", "level", "about", "problem", "effect", "advice", "command"}],
    "not_run": [{"check", "reason"}]}.
    """
    with place(context).open(reading=True) as queue:
        found = queue.diagnose()
    if as_json:
        findings, not_run = ([one._asdict() for one in some] for some in (found.findings, found.not_run))
        print_json({"findings": findings, "not_run": not_run})
    else:
        say("\n".join(lines(found, room())))
    if not found.healthy:
        raise typer.Exit(1)


def lines(found: Diagnosis, width: int | None) -> Iterator[str]:
    """What is printed: each finding with its effect, its advice and a command, and the checks that were not run."""
    for one in found.findings:
        yield from _finding(one, width)
    counts = Counter(one.level for one in found.findings)
    told = [f"{counts[level]} {level}{'s' if counts[level] > 1 else ''}" for level in Level if counts[level]]
    yield from hanging(f"({', '.join(told) or 'nothing was found'})", width, 1)
    yield from _not_run(found.not_run, width)


def _finding(one: Finding, width: int | None) -> Iterator[str]:
    yield from hanging(f"{one.level.upper():<{INDENT}}{clean(one.problem)}", width, INDENT)
    for text in (one.effect, one.advice):
        yield from hanging(" " * INDENT + clean(text), width, INDENT)
    if one.command:
        yield from hanging(f"{' ' * INDENT}$ {clean(one.command)}", width, INDENT + 4)
    yield ""


def _not_run(not_run: Sequence[NotRun], width: int | None) -> Iterator[str]:
    """The checks that were not run, those with the same reason in one line."""
    by_reason = sorted(not_run, key=lambda one: one.reason)
    for reason, some in groupby(by_reason, key=lambda one: one.reason):
        names = ", ".join(one.check for one in some)
        yield from hanging(f"Not run, since {clean(reason)}: {names}", width, 2)
