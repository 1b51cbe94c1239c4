"""A namespace on a real server, a clock that stands still, and the model that both are held against."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from hypothesis.stateful import RuleBasedStateMachine, invariant

from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.core.host.keys import KeyMaker
from mongoq.core.options import Options, checked_options
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.steps import Stepper
from mongoq.storage.operations import schema
from proving.task_model import LEASE, MAX_RETRIES, STEP, Model, error_queue

FEW: Final = 4
"""Three of four draws are from the last few: what is older is stale, mostly."""


class DiffersError(AssertionError):
    """The product did other than the model."""


class Compared(RuleBasedStateMachine):
    """What a machine needs to act on both, and what must hold after each of its steps."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self.clock = FrozenClock()
        self.context = Context(self.clock, _options(), KeyMaker())
        self.driver = BlockingDriver(self.connection, Stepper(ServerClock()))
        self.run: Callable[..., Any] = self.driver.run
        self.model = Model(self.clock.now())
        self.claims: list[Task] = []
        self.read: list[Task] = []
        self.run(schema.init(self.context))

    def teardown(self) -> None:
        """Leave nothing."""
        for name in (self.context.tasks, self.context.workers):
            self.connection.database.drop_collection(name)

    @invariant()
    def is_as_the_model_says(self) -> None:
        """Every task is there and is as it must be, and no other is."""
        rows = list(self.connection.database[self.context.tasks].find())
        now = {}
        for row in rows:
            task = decoding.task_from(row, self.context.namespace, self.clock.now())
            now[task.key] = task
        self.same("keys", sorted(now), sorted(self.model.tasks))
        for key, known in self.model.tasks.items():
            wanted = known.shown()
            self.same(key, {name: getattr(now[key], name) for name in wanted}, wanted)

    @invariant()
    def nobody_shares_what_must_be_one_s_own(self) -> None:
        """No two tasks that live have one `unique` value."""
        uniques = [task.unique for task in self.model.live() if task.unique is not None]
        self.same("unique", len(uniques), len(set(uniques)))

    def have_error_queues(self) -> None:
        """Set aside from now on what would end as failed."""
        self.context = replace(self.context, options=replace(self.context.options, error_queue=error_queue))
        self.model.has_error_queues = True

    def made(self, number: int, unique: str | None, *, skip: bool, age: int | None = None, **options: Any) -> NewTask:
        """A task to enqueue; its age counts from when it may run, because one that never may is refused."""
        delay = options.get("delay") or 0
        expires_at = None if age is None else self.clock.now() + timedelta(seconds=delay + age)
        conflict = "skip" if skip else "error"
        return NewTask({}, key=f"k{number}", unique=unique, on_conflict=conflict, expires_at=expires_at, **options)

    def claimed(self, tasks: list[Task], expected: list[str]) -> None:
        """Note what was claimed."""
        self.same("claimed, in this order", [task.key for task in tasks], expected)
        for task in tasks:
            self.model.claimed(task.key, task.token or "")
        self.claims += tasks
        self.read += tasks

    def claim(self, which: int) -> Task:
        """A claim that still holds, or one of any time."""
        few = self.claims[-FEW + 1 :] if which % FEW else self.claims
        return few[which // FEW % len(few)]

    def key(self, which: int) -> str:
        """The key of a task that is there."""
        return sorted(self.model.tasks)[which % len(self.model.tasks)]

    def now(self, key: str) -> Task:
        """A task as anybody may read it."""
        row = self.connection.database[self.context.tasks].find_one({"_id": key}) or {}
        shown = {name: value for name, value in row.items() if name != fields.TOKEN}
        self.read.append(decoding.task_from(shown, self.context.namespace, self.clock.now()))
        return self.read[-1]

    def seen(self, which: int, *, fresh: bool) -> Task:
        """A task as it is now, or as it was once read or claimed."""
        if fresh and self.model.tasks:
            return self.now(self.key(which))
        few = self.read[-FEW:] if which % FEW else self.read
        return few[which // FEW % len(few)]

    def same(self, what: str, found: object, expected: object) -> None:
        """Go on, if they are."""
        if found != expected:
            raise DiffersError(f"{what}: it is {found}, and should be {expected}")


def _options() -> Options:
    policy = {"lease": LEASE, "max_retries": MAX_RETRIES, "backoff": STEP}
    return checked_options(
        namespace=f"t-{secrets.token_hex(4)}", max_age=None, workers=1, grace=timedelta(seconds=1),
        max_task_bytes=2**20, error_queue=None, policy=policy,
    )  # fmt: skip
