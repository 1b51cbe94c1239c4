"""Every verb in any order, with proofs and versions that hold and such that no longer do, against the model."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from pymongo.read_concern import ReadConcern

from mongoq.arguments import Wanted
from mongoq.errors import DependencyError, DuplicateTask, LeaseLost, StorageUnavailable, WrongState
from mongoq.lifecycle import WAITING, Event
from mongoq.model import Task
from mongoq.modification import Change, Modification
from mongoq.signals import Fail, Move, Retry, Snooze
from mongoq.storage import (
    claiming,
    enlisting,
    enqueueing,
    finishing,
    leasing,
    modifying,
    rerunning,
    tending,
    upkeep,
)
from mongoq.verdict import MOST_SUSPICION, Ending, Raised, Released, Returned
from proving import change_model
from proving.compared import Compared
from proving.task_model import error_queue

QUEUES = ("here", "there")
MOSTLY_HERE = st.sampled_from(["here", "here", "here", "there", error_queue("here")])
DIGITS = st.integers(0, 10**6)
NUMBERS = st.integers(0, 9)
ENDINGS = (Event.COMPLETE, Event.FAIL, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.MOVE)
ROLES = ("priority", "tags", "queue", "delay", "delete", "depend")
OPERATIONS = ("cancel", "delete", "move", "priority", "delay", "expires_at")


class DroppedError(Exception):
    """The caller's own transaction is not to be committed."""


class Machine(Compared):
    """The verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.modified: list[Modification] = []

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
            made = self.run(enqueueing.new(self.context, task))
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
        wanted = Wanted((queue,), "w", limit)
        claim = self.run(claiming.claim_many(self.context, wanted, suspicion=MOST_SUSPICION))
        self.claimed(claim.tasks, self.model.batch(queue, limit))

    @rule(queue=MOSTLY_HERE)
    def claim_first(self, queue: str) -> None:
        """Claim by hand."""
        claim = self.run(claiming.claim_first(self.context, Wanted((queue,), "w")))
        expected = self.model.first(queue)
        self.claimed(claim.tasks, [] if expected is None else [expected])

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS)
    def renew(self, which: int) -> None:
        """Hold longer."""
        claim = self.claim(which)
        lost = self.run(leasing.renew_each(self.context, [claim], None))
        self.same("renewed", not lost, self.model.renew(claim))

    # Ending

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS, event=st.sampled_from(ENDINGS), delay=st.sampled_from([0, 5, 40]))
    def end(self, which: int, event: Event, delay: int) -> None:
        """End an attempt, in each way there is."""
        claim = self.claim(which)
        to = QUEUES[claim.queue == QUEUES[0]]
        endings: dict[Event, Ending] = {
            Event.COMPLETE: Returned(which), Event.FAIL: Raised(Fail("no")), Event.MOVE: Raised(Move(to)),
            Event.RETRY: Raised(Retry("again", delay=delay)), Event.SNOOZE: Raised(Snooze(delay)),
            Event.RELEASE: Released(),
        }  # fmt: skip
        try:
            self.run(finishing.settle(self.context, [claim], endings[event], "w"))
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
        first = partial(finishing.complete_first, self.context, claim, None, "w")
        try:
            with self.driver.transaction(first) as session:
                self.run(enlisting.new(self.context, task), session)
                if not commit:
                    raise DroppedError
            found = "made"
        except (LeaseLost, DuplicateTask, DroppedError) as error:
            found = {LeaseLost: "lost", DuplicateTask: "refused", DroppedError: "dropped"}[type(error)]
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
            self.run(finishing.settle(self.context, [claim], Returned(whole), "w"))
            found = "made"
        except (LeaseLost, DependencyError) as error:
            found = {LeaseLost: "lost", DependencyError: "refused"}[type(error)]
        again = ended_so and not self.model.holds(claim)
        expected = "made" if again else self.model.complete_with(claim, task, mark=whole.id)
        self.same("completion with what follows", found, expected)

    # From outside

    @precondition(lambda self: self.model.tasks)
    @rule(which=DIGITS, what=st.sampled_from(OPERATIONS), value=st.sampled_from([0, 5, 40]))
    def operate(self, which: int, what: str, value: int) -> None:
        """Change one task as an operator does."""
        key, to = self.key(which), QUEUES[which % 2]
        soon = self.clock.now() + timedelta(seconds=value)
        given: dict[str, Any] = {what: {"priority": value % 3, "delay": value, "expires_at": soon}.get(what)}
        operations: dict[str, Any] = {
            "cancel": lambda: tending.cancel(self.context, key), "delete": lambda: tending.delete(self.context, key),
            "move": lambda: tending.move(self.context, key, to),
        }  # fmt: skip
        try:
            self.run(operations[what]() if what in operations else self._update(key, given))
            done = True
        except WrongState:
            done = False
        match what:
            case "cancel":
                change_model.cancel(self.model, key)
                expected = True
            case "delete":
                expected = change_model.delete(self.model, key)
            case "move":
                expected = change_model.move(self.model, key, to)
            case _:
                expected = change_model.update(self.model, key, **given)
        self.same(what, done, expected)

    @precondition(lambda self: self.model.tasks)
    @rule(which=DIGITS, queue=MOSTLY_HERE, home=st.booleans(), one=st.booleans())
    def rerun(self, which: int, queue: str, *, home: bool, one: bool) -> None:
        """Run what failed again, or what went to another queue, where it is or where it came from."""
        # In the order of their keys: of two that may not both live the first goes on.
        keys = [self.key(which)] if one else sorted(self.model.tasks)
        if home:
            self.run(rerunning.send_home(self.context, queue, keys))
            change_model.send_home(self.model, queue, keys)
        else:
            self.run(rerunning.retry_failed(self.context, keys, None))
            change_model.retry_failed(self.model, keys)

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

    @rule(sweep=st.sampled_from(["promote", "rescue", "expire"]))
    def sweep(self, sweep: str) -> None:
        """Move what time has moved."""
        self.run(getattr(upkeep, sweep)(self.context))
        getattr(self.model, sweep)()

    # The atomic change

    @precondition(lambda self: self.read)
    @rule(
        chosen=st.lists(st.tuples(DIGITS, st.sampled_from(ROLES)), min_size=1, max_size=2),
        fresh=st.sampled_from([True, True, True, False]),
        inserted=st.none() | st.tuples(NUMBERS, st.sampled_from([None, "u"]), st.booleans()),
    )  # fmt: skip
    def modify(self, chosen: list[tuple[int, str]], fresh: bool, inserted: tuple[int, str | None, bool] | None) -> None:
        """Change, delete, insert and depend on tasks."""
        parts: dict[str, Any] = {"change": [], "delete": [], "depend": [], "insert": []}
        named = {}
        for which, role in chosen:
            task = self.seen(which, fresh=fresh)
            named[task.key] = task, role, which
        for task, role, which in named.values():
            parts[role if role in parts else "change"].append(task if role in parts else _change(task, role, which))
        if inserted is not None and f"k{inserted[0]}" not in named:
            parts["insert"].append(self.made(inserted[0], inserted[1], skip=inserted[2]))
        whole = Modification(**parts)
        self._modify(whole)
        self.modified.append(whole)

    @precondition(lambda self: self.modified)
    @rule(back=st.sampled_from([1, 1, 1, 2, 3]))
    def modify_again(self, back: int) -> None:
        """Ask for one of the last changes once more, as after a lost reply."""
        self._modify(self.modified[-min(back, len(self.modified))])

    @precondition(lambda self: sum(task.state in WAITING for task in self.model.tasks.values()) > 1)
    @rule(which=DIGITS, role=st.sampled_from(ROLES[:-1]))
    def modify_at_once(self, which: int, role: str) -> None:
        """Two changes that overlap, of which each depends on what the other writes: as if one after the other."""
        waiting = sorted(key for key, task in self.model.tasks.items() if task.state in WAITING)
        mine, other = (self.now(waiting[(which + step) % len(waiting)]) for step in (0, 1))
        wholes = [
            Modification(change=[_change(mine, "tags", which)], depend=[other]),
            Modification(delete=[other], depend=[mine])
            if role == "delete"
            else Modification(change=[_change(other, role, which)], depend=[mine]),
        ]
        found = self._overlapping(wholes)
        self.same("changes that overlap", found, [change_model.modify(self.model, whole) for whole in wholes])

    def _overlapping(self, wholes: list[Modification]) -> list[bool]:
        """Which of these are made in transactions that all begin before the first change."""
        client = self.connection.database.client
        made = []
        with ExitStack() as stack:
            sessions = [stack.enter_context(client.start_session()) for _ in wholes]
            for session in sessions:
                session.start_transaction(ReadConcern("snapshot"))
                client[self.connection.database.name][self.context.tasks].find_one({}, session=session)
            for session, whole in zip(sessions, wholes, strict=True):
                try:
                    self.run(modifying.modify(self.context, whole), session)
                    made.append(session)
                except (StorageUnavailable, DependencyError):
                    session.abort_transaction()
            for session in made:
                session.commit_transaction()
        return [session in made for session in sessions]

    def _modify(self, whole: Modification) -> None:
        try:
            done = self.run(modifying.modify(self.context, whole))
        except DependencyError:
            self.same("modified", False, change_model.modify(self.model, whole))
            return
        self.same("modified", True, change_model.modify(self.model, whole))
        self.read += [*done.changed, *done.inserted]

    def _update(self, key: str, given: dict[str, Any]) -> Any:
        wanted = {"priority": None, "expires_at": None, **given}
        delay = wanted.pop("delay", None)
        delay = None if delay is None else timedelta(seconds=delay)
        return tending.update(self.context, key, run_at=None, delay=delay, **wanted)


def _change(task: Task, role: str, which: int) -> Change:
    values: dict[str, Any] = {
        "priority": which % 3, "tags": {"n": which}, "queue": QUEUES[which % 2], "delay": which % 2 * 5,
    }  # fmt: skip
    return task.as_change(**{role: values[role]})
