"""What pages ask for: each method checks the rights of who asks before it reads or acts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq import (
    AsyncQueue,
    AuditEntry,
    Batch,
    Diagnosis,
    HistoryPoint,
    Limit,
    LimitGroup,
    MongoqError,
    Queue,
    Task,
    TaskPage,
)
from mongoq.core.clock import elapsed
from mongoq.core.explaining.why import why
from mongoq.dashboard.access.rights import Right, User
from mongoq.dashboard.service.acts import ACTS, Values
from mongoq.dashboard.service.answers import EVERY, Answers
from mongoq.dashboard.service.gateway import Gateway
from mongoq.dashboard.service.hiding import Hiding
from mongoq.dashboard.service.view import View

TALLY_FOR: Final = 1.5
"""Seconds for which tasks are counted before an act on many of them."""


class NoSuchAct(MongoqError, LookupError):
    """A form asks for an act that there is not."""


class Service:
    """Reads and acts, for whoever may."""

    def __init__(self, queue: Queue | AsyncQueue, hiding: Hiding, every: float = EVERY) -> None:
        self.gateway = Gateway(queue)
        self.answers = Answers(self.gateway, every)
        self.hiding = hiding

    async def page(self, user: User, view: View) -> TaskPage:
        """A page of tasks."""
        user.check(Right.LOOK)
        found: TaskPage = await self.gateway.ask("page", **view.request(datetime.now(UTC)))
        return found

    async def task(self, user: User, key: str, *, fresh: bool = True) -> Task:
        """One task; where it need not be `fresh`, as it was told to somebody a moment ago."""
        user.check(Right.LOOK)
        found: Task = await self.answers.ask("get", key, fresh=fresh)
        return found

    async def batch(self, user: User, key: str, *, fresh: bool = True) -> Batch:
        """One batch, likewise."""
        user.check(Right.LOOK)
        found: Batch = await self.answers.ask("get_batch", key, fresh=fresh)
        return found

    async def history(self, user: User, queue: str | None = None, **asked: Any) -> list[HistoryPoint]:
        """What happened over time."""
        user.check(Right.LOOK)
        found: list[HistoryPoint] = await self.answers.ask("history", queue, **asked)
        return found

    async def history_of_names(self, user: User, names: list[str], since: timedelta) -> dict[str, HistoryPoint]:
        """What was done of each of these task functions lately."""
        user.check(Right.LOOK)
        found: dict[str, HistoryPoint] = await self.answers.ask("history_of_names", names, since=since)
        return found

    async def limits(self, user: User) -> list[Limit]:
        """The limits by name."""
        user.check(Right.LOOK)
        found: list[Limit] = await self.answers.ask("limits")
        return found

    async def limit_state(self, user: User, name: str) -> list[LimitGroup]:
        """The groups of a limit, the fullest first."""
        user.check(Right.LOOK)
        found: list[LimitGroup] = await self.answers.ask("limit_state", name)
        return found

    async def batches(self, user: User) -> list[Batch]:
        """The newest batches that have not called back."""
        user.check(Right.LOOK)
        found: list[Batch] = await self.answers.ask("batches")
        return found

    async def why(self, user: User, task: Task, *, fresh: bool = True) -> str | None:
        """Why a task does not run; None where it does not wait."""
        user.check(Right.LOOK)
        if task.finished:
            return None
        workers = await self.answers.ask("workers", fresh=fresh)
        return why(task, workers, await self.answers.ask("pauses", fresh=fresh))

    def arguments(self, user: User, value: Any) -> Any:
        """Tags, a payload or a result, as this user may see it; None where they may see nothing of it."""
        return self.hiding.shown(value) if user.may(Right.ARGUMENTS) else None

    async def tally(self, user: User, view: View) -> tuple[int, bool]:
        """How many tasks a view has, and whether all of it was looked at: it counts for 1.5 s at most."""
        user.check(Right.LOOK)
        request, began, total = view.request(datetime.now(UTC)), elapsed(), 0
        after: str | None = None
        while True:
            page = await self.gateway.ask("page", **{**request, "after": after, "limit": 150})
            total, after = total + len(page.tasks), page.after
            if after is None:
                return total, True
            if elapsed() - began > TALLY_FOR:
                return total, False

    async def diagnosis(self, user: User) -> Diagnosis:
        """What is wrong with the server, the fleet and the tasks, as `mongoq doctor` tells it."""
        user.check(Right.LOOK)
        found: Diagnosis = await self.answers.ask("diagnose")
        return found

    async def audits(self, user: User, after: str | None) -> list[AuditEntry]:
        """Who did what."""
        user.check(Right.AUDIT)
        found: list[AuditEntry] = await self.gateway.ask("audits", after=after)
        return found

    async def act(self, user: User, name: str, values: Values) -> int:
        """Do what a form asks for, with an entry in the audit that is there before it begins; how many were changed."""
        act = ACTS.get(name)
        if act is None:
            raise NoSuchAct(f"there is no act {name!r}")
        user.check(*act.rights)
        about = self.hiding.shown({field: value for field, value in values.items() if value})
        entry: AuditEntry = await self.gateway.ask("audit_begin", name, by=user.name, about=_storable(about))
        counts = _Counts(self.gateway, entry.id, asyncio.get_running_loop())
        try:
            count = await act.run(self.gateway, {**values, "by": user.name}, counts.told)
        except Exception as error:
            await self.gateway.ask("audit_end", entry.id, error=f"{type(error).__name__}: {error}")
            raise
        await self.gateway.ask("audit_end", entry.id, count=count)
        return count


class _Counts:
    """Writes the count of an act into its entry, from whatever thread hears of it."""

    def __init__(self, gateway: Gateway, entry: str, loop: asyncio.AbstractEventLoop) -> None:
        self._gateway, self._entry, self._loop = gateway, entry, loop
        self._writing: set[Any] = set()

    def told(self, count: int) -> None:
        """Note the count; it is written beside the act."""
        writing = asyncio.run_coroutine_threadsafe(self._gateway.ask("audit_count", self._entry, count), self._loop)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)


def _storable(about: dict[str, Any]) -> dict[str, str]:
    return {field: str(value)[:500] for field, value in about.items()}
