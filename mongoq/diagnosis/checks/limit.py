"""Checks of limits that block."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Limits
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import quoted, span, waiting

LONGEST: Final = timedelta(days=1)


@check(
    "limit.unreadable", Level.FAULT, "a stored limit with what no limit can have, such as a concurrency of 0",
    effect="It is not in force: its tasks run as if it were not there, and new ones that name it are refused.",
    advice="Set it again with a concurrency of at least 1; to let nothing run, pause instead.",
)  # fmt: skip
def unreadable(limits: Limits) -> Iterator[Found]:
    """Limits that no process can read."""
    for name in limits.unreadable:
        command = f"mongoq limits set {quoted(name)} --concurrency 1"
        yield Found(name, f"The limit {name} is stored with numbers that no limit can have", command)


@check(
    "limit.line", Level.WARNING, "a strict line that halts behind a task which failed and waits for its retry",
    effect="All behind it wait until it has finished, whatever they are.",
    advice="Mend its cause and run it now, or cancel it so that the line goes on.",
)  # fmt: skip
def line(limits: Limits) -> Iterator[Found]:
    """Lines that halt."""
    for one in limits.lines:
        group = one.group.limit if one.group.value is None else f"{one.group.limit} of {one.group.value!r}"
        why = f"failed with {one.error}" if one.error else f"is {one.state}"
        until = f" and is due at {one.due:%H:%M:%S} UTC" if one.due else ""
        problem = f"The line of {group} halts behind {one.key}, which {why}{until}: {waiting(one.group.waiting)}"
        yield Found(one.group.limit, problem, f"mongoq update {quoted(one.key)} --delay 0")


@check(
    "limit.held", Level.FAULT, "a slot of a limit that is held beyond its lease",
    effect="The limit has less room, though nothing runs in that slot.",
    advice="Start a worker: any worker of the namespace takes back what lost its lease.",
    command="mongoq workers",
)  # fmt: skip
def held(limits: Limits) -> Iterator[Found]:
    """Slots that nobody frees."""
    for key, slot in limits.held.items():
        yield Found(slot, f"The slot {slot} is held by {key}, whose lease is over")


@check(
    "limit.rate", Level.WARNING, "a rate so low that what waits for it takes longer than a day",
    effect="The last of them start so much later.",
    advice="Raise the rate, or delete what nobody needs any more.",
)  # fmt: skip
def rate(limits: Limits) -> Iterator[Found]:
    """Rates that are too low."""
    known = {one.name: one for one in limits.limits}
    for group in limits.groups:
        limit = known.get(group.limit)
        if limit is None or limit.rate is None or not group.waiting:
            continue
        takes = limit.per * (group.waiting / limit.rate) if group.waiting < 1e9 else LONGEST * 2
        if takes > LONGEST:
            command = f"mongoq limits show {quoted(group.limit)}"
            problem = f"{waiting(group.waiting)} for the rate of {group.limit}, which takes {span(takes)}"
            yield Found(group.limit, problem, command)
