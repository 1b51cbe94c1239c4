"""The life of tasks in any order, with proofs that hold and such that no longer do, against the model."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from mongoq.api.changing import in_transaction
from mongoq.core.errors import DuplicateTask, LeaseLost
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Outcome, Raised, Released, Returned
from mongoq.core.lifecycle import Event
from mongoq.core.requests import ClaimRequest
from mongoq.core.signals import Fail, Move, Retry, Snooze
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.control import Within
from mongoq.storage.operations import enqueue, finish, leases, sweep
from mongoq.storage.operations.claiming.first import claim_first
from mongoq.storage.operations.claiming.many import claim_many
from proving.compared import Compared
from proving.task_model import error_queue

QUEUES = ("here", "there")
MOSTLY_HERE = st.sampled_from(["here", "here", "here", "there", error_queue("here")])
DIGITS = st.integers(0, 10**6)
NUMBERS = st.integers(0, 9)
ENDINGS = (Event.COMPLETE, Event.FAIL, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.MOVE)


class DroppedError(Exception):
    """The caller's own transaction is not to be committed."""


class TaskMachine(Compared):
    """The verbs of producers, of workers and of time."""

    # Producing

    @initialize(priorities=st.lists(st.integers(-1, 1), min_size=3, max_size=6), errors=st.booleans())
    def begin(self, priorities: list[int], *, errors: bool) -> None:
        """Have some tasks to begin with."""
        if errors:
            self.have_error_queues()
        for number, priority in enumerate(priorities):
            self.new(number, None, skip=False, queue="here", priority=priority, delay=0, age=None)

    @rule(
        number=NUMBERS, unique=st.sampled_from([None, None, "u", "v"]), skip=st.booleans(),
        queue=st.sampled_from(["here", "here", "here", "there"]), priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 0, 5, 40]), age=st.sampled_from([None, None, None, 20, 60]),
    )  # fmt: skip
    def new(
        self, number: int, unique: str | None, *, skip: bool, queue: str, priority: int, delay: int, age: int | None
    ) -> None:
        """Enqueue."""
        task = self.made(number, unique, skip=skip, queue=queue, priority=priority, delay=delay, age=age)
        holders = self.model.holders(task)
        try:
            made = self.run(enqueue.new(self.context, task))
        except DuplicateTask:
            self.same("refused", True, bool(holders) and not skip)
            return
        self.same("enqueued", made.key in holders if holders and skip else made.key == task.key and not holders, True)
        if not holders:
            self.model.add(task)

    # Claiming

    @rule(queue=MOSTLY_HERE, limit=st.integers(1, 4))
    def claim_many(self, queue: str, limit: int) -> None:
        """Claim a batch, as workers do."""
        wanted = ClaimRequest((queue,), "w", limit)
        claim = self.run(claim_many(self.context, wanted, poison_budget=MOST_POISON_WEIGHT))
        self.claimed(claim.tasks, self.model.batch(queue, limit))

    @rule(queue=MOSTLY_HERE)
    def claim_first(self, queue: str) -> None:
        """Claim by hand."""
        claim = self.run(claim_first(self.context, ClaimRequest((queue,), "w")))
        expected = self.model.first(queue)
        self.claimed(claim.tasks, [] if expected is None else [expected])

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS)
    def renew(self, which: int) -> None:
        """Hold longer."""
        claim = self.claim(which)
        try:
            self.run(leases.renew_each(self.context, [claim], None))
            renewed = True
        except LeaseLost:
            renewed = False
        self.same("renewed", renewed, self.model.renew(claim))

    # Ending

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS, event=st.sampled_from(ENDINGS), delay=st.sampled_from([0, 5, 40]))
    def end(self, which: int, event: Event, delay: int) -> None:
        """End an attempt, in each way there is."""
        claim = self.claim(which)
        to = QUEUES[claim.queue == QUEUES[0]]
        endings: dict[Event, Outcome] = {
            Event.COMPLETE: Returned(which), Event.FAIL: Raised(Fail("no")), Event.MOVE: Raised(Move(to)),
            Event.RETRY: Raised(Retry("again", delay=delay)), Event.SNOOZE: Raised(Snooze(delay)),
            Event.RELEASE: Released(),
        }  # fmt: skip
        try:
            self.run(finish.settle(self.context, [claim], endings[event], "w"))
            accepted = True
        except LeaseLost as lost:
            self.same("lost", lost.keys, (claim.key,))
            accepted = False
        self.same(f"{event} accepted", accepted, self.model.end(claim, event, delay=delay, to=to))

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS, number=NUMBERS, unique=st.sampled_from([None, "u"]), skip=st.booleans(), commit=st.booleans())
    def transact(self, which: int, number: int, unique: str | None, *, skip: bool, commit: bool) -> None:
        """Complete a task and enqueue another in a transaction of the caller's."""
        claim, task = self.claim(which), self.made(number, unique, skip=skip)
        first = partial(finish.complete_first, self.context, claim, None, "w")
        try:
            with self.driver.scope(in_transaction(first)) as session:
                self.run(_within(session, enqueue.new_in_transaction(self.context, task)))
                if not commit:
                    raise DroppedError
            found = "made"
        except (LeaseLost, DuplicateTask, DroppedError) as error:
            found = {DuplicateTask: "refused", DroppedError: "dropped"}.get(type(error), "lost")
        self.same("transaction", found, self.model.complete_with(claim, task, commit=commit))

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS, number=NUMBERS, unique=st.sampled_from([None, "u"]), skip=st.booleans())
    def follow(self, which: int, number: int, unique: str | None, *, skip: bool) -> None:
        """Complete a task with what its handler wants to follow."""
        claim, task = self.claim(which), self.made(number, unique, skip=skip)
        whole = Modification(insert=[task])
        known = self.model.tasks.get(claim.key)
        ended_so = known is not None and known.ended in ((claim.token, Event.COMPLETE), (claim.token, Event.CANCEL))
        try:
            self.run(finish.settle(self.context, [claim], Returned(whole), "w"))
            found = "made"
        except (LeaseLost, DependencyError) as error:
            found = "refused" if isinstance(error, DependencyError) else "lost"
        again = ended_so and not self.model.holds(claim)
        expected = "made" if again else self.model.complete_with(claim, task, mark=whole.id)
        self.same("completion with what follows", found, expected)

    # Time

    @rule(seconds=st.sampled_from([0.5, 5, 30.5, 31]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.model.now = self.clock.now()

    @precondition(lambda self: any(task.lease_until for task in self.model.tasks.values()))
    @rule(beyond=st.sampled_from([0.999, 1]))
    def lose(self, beyond: float) -> None:
        """Let the first lease end, and look for what was lost a moment too early, or just in time."""
        ends = min(task.lease_until for task in self.model.tasks.values() if task.lease_until)
        self.advance(max(0, (ends - self.clock.now()).total_seconds() + beyond))
        self.sweep("rescue")

    @rule(kind=st.sampled_from(["promote", "rescue", "expire"]))
    def sweep(self, kind: str) -> None:
        """Run one of the sweeps."""
        self.run(getattr(sweep, kind)(self.context))
        getattr(self.model, kind)()


def _within(session: Any, op: Op[Task]) -> Op[Task]:
    made: Task = yield Within(session, lambda: op)
    return made
