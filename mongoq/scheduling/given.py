"""The arguments of a schedule: checked before anything is written, and laid over what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.validation import TASK_NAME, UNSET, Checker, Duration, Unset
from mongoq.scheduling import timing
from mongoq.scheduling.due import CATCH_UP, LATEST, NONE
from mongoq.scheduling.schedule import Definition
from mongoq.scheduling.timing import Timing

SKIP: Final = "skip"
QUEUE: Final = "queue"
OVERLAP: Final = (SKIP, QUEUE)
ERROR: Final = "error"
LEAST: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller says of a schedule; what it does not say is UNSET."""

    name: str
    cron: str | Unset | None = UNSET
    task: NewTask | Unset | None = UNSET
    tz: str | tzinfo | Unset = UNSET
    every: Duration | Unset | None = UNSET
    catch_up: str | Duration | Unset = UNSET
    jitter: Duration | Unset = UNSET
    overlap: str | Unset | None = UNSET

    def checked(self) -> Given:
        """The same in the form that mongoq uses; ConfigurationError lists all that is wrong with it."""
        checker = Checker()
        checker.matching("name", self.name, TASK_NAME)
        found: dict[str, Any] = {}
        _check_when(checker, self, found)
        if _said(self.catch_up):
            found["catch_up"] = _checked_catch_up(checker, self.catch_up)
        if _said(self.jitter):
            found["jitter"] = checker.duration("jitter", self.jitter)
        if _said(self.overlap):
            checker.one_of("overlap", self.overlap, OVERLAP)
        if _said(self.task):
            _check_task(checker, self.task)
        checker.finish()
        return replace(self, **found)

    def complete(self) -> None:
        """ConfigurationError where it does not make a whole schedule."""
        self.over(None, timing.EPOCH)

    def over(self, before: Definition | None, now: datetime) -> Definition:
        """The whole definition. Without a task it changes the one that was there, else it takes its place."""
        known: dict[str, Any] = {}
        if not _said(self.task):
            if before is None:
                allowed = (
                    f"given: there is no schedule {self.name!r} yet. Give a NewTask, or the call of a task function"
                )
                raise ConfigurationError([Fault("task", "nothing", allowed)])
            known = _as_given(before)
        said = {name: value for name in _FIELDS if _said(value := getattr(self, name))}
        if "every" in said or "cron" in said:
            known = {name: value for name, value in known.items() if name not in ("every", "cron")}
        return _definition(self.name, {**known, **said}, before, now)


_FIELDS: Final = ("cron", "task", "tz", "every", "catch_up", "jitter", "overlap")


def _said(value: Any) -> bool:
    return not (value is UNSET or value is None)


def _as_given(before: Definition) -> dict[str, Any]:
    when = before.timing
    given = {"cron": when.cron, "every": when.every, "tz": when.tz, "task": before.task, "catch_up": before.catch_up}
    given |= {"jitter": before.jitter, "overlap": before.overlap}
    return {name: value for name, value in given.items() if value is not None}


def _definition(name: str, given: Mapping[str, Any], before: Definition | None, now: datetime) -> Definition:
    checker = Checker()
    cron, every, tz = given.get("cron"), given.get("every"), given.get("tz", "UTC")
    if (cron is None) == (every is None):
        both = "both cron and every" if cron else "neither cron nor every"
        checker.refuse("cron", both, "one of them: an expression such as '0 3 * * *', or every=timedelta(minutes=10)")
    catch_up: str | timedelta = given.get("catch_up", LATEST)
    wants_all = catch_up not in (LATEST, NONE)
    overlap: str = given.get("overlap", QUEUE if wants_all else SKIP)
    if wants_all and overlap == SKIP:
        checker.refuse("overlap", overlap, f"{QUEUE!r} where catch_up asks for each missed tick: they come together")
    checker.finish()
    anchor = now.replace(microsecond=0)
    if before is not None and before.timing.every == every:
        anchor = before.timing.anchor
    when = Timing(cron, tz if cron else "UTC", every, anchor if every else timing.EPOCH)
    return Definition(name, when, given["task"], catch_up, given.get("jitter", timedelta(0)), overlap)


def _check_when(checker: Checker, given: Given, found: dict[str, Any]) -> None:
    if _said(given.cron):
        found["cron"] = _checked_cron(checker, given.cron)
    if _said(given.tz):
        found["tz"] = _checked_zone(checker, given.tz)
    if _said(given.every):
        every = found["every"] = checker.duration("every", given.every, positive=True)
        if every is not None and every < LEAST:
            checker.refuse("every", given.every, "at least 1 second")


def _checked_cron(checker: Checker, cron: Any) -> str | None:
    allowed = "a cron expression of five fields, or six with the seconds first, such as '*/5 * * * *', or '@daily'"
    if not isinstance(cron, str):
        checker.refuse("cron", cron, allowed)
        return None
    expression = timing.normal(cron)
    try:
        timing.check(expression)
    except ValueError as error:
        checker.refuse("cron", cron, f"{allowed}: {error}")
    return expression


def _checked_zone(checker: Checker, tz: Any) -> str:
    name = getattr(tz, "key", "UTC" if tz is UTC else tz)
    try:
        timing.zone_of(name)
    except (LookupError, ValueError, TypeError, OSError, AttributeError):
        allowed = "a time zone that this host knows, such as 'Europe/Zurich'; `pip install tzdata` brings them all"
        checker.refuse("tz", tz, allowed)
    return str(name)


def _checked_catch_up(checker: Checker, catch_up: Any) -> Any:
    if isinstance(catch_up, str):
        checker.one_of("catch_up", catch_up, CATCH_UP)
        return catch_up
    return checker.duration("catch_up", catch_up, positive=True)


def _check_task(checker: Checker, task: Any) -> None:
    if not isinstance(task, NewTask):
        checker.refuse("task", task, "a NewTask, or the call of a task function: report.call()")
        return
    if task.on_conflict not in (ERROR, SKIP):
        checker.refuse(
            "task.on_conflict", task.on_conflict, f"{ERROR!r} or {SKIP!r}: what has its `unique` value stays"
        )
    for field in ("key", "run_at", "delay", "expires_at"):
        if (value := getattr(task, field)) is not None:
            checker.refuse(f"task.{field}", value, "None: each tick enqueues a task with a key and times of its own")
