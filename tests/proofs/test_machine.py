"""Every verb in any order, with proofs and versions that hold and such that no longer do, against a small model.

The server is real and the clock stands still. That the comparison sees anything is shown by faults put into the
product: with each of them it must fail.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from mongoq import Queue
from mongoq.arguments import Wanted
from mongoq.clock import FrozenClock, ServerClock
from mongoq.errors import DependencyError, DuplicateTask, LeaseLost, StorageUnavailable
from mongoq.keys import KeyMaker
from mongoq.lifecycle import Event
from mongoq.model import Task
from mongoq.modification import Change, Modification
from mongoq.new_task import NewTask
from mongoq.options import checked_options
from mongoq.signals import Fail, Move, Retry, Snooze
from mongoq.storage import (
    administering,
    claiming,
    documents,
    enqueueing,
    filters,
    finishing,
    leasing,
    modifying,
    reading,
    tending,
    updates,
    upkeep,
)
from mongoq.storage.connection import Connection, connect
from mongoq.storage.context import Context
from mongoq.storage.driver import Driver
from mongoq.storage.embedded import EmbeddedServer
from mongoq.verdict import MOST_SUSPICION, Ending, Raised, Released, Returned
from proving.task_model import LEASE, MAX_RETRIES, STEP, Model

QUEUES = ("here", "there")
MOSTLY_HERE = st.sampled_from(["here", "here", "here", "there"])
DIGITS = st.integers(0, 10**6)
ENDINGS = (Event.COMPLETE, Event.FAIL, Event.RETRY, Event.SNOOZE, Event.RELEASE, Event.MOVE)
ROLES = ("priority", "tags", "queue", "delay", "delete", "depend")


class Differs(AssertionError):
    """The product did other than the model."""


class Machine(RuleBasedStateMachine):
    """A namespace, the model of it, and everything that was ever read or claimed there."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        policy = {"lease": LEASE, "max_retries": MAX_RETRIES, "backoff": STEP}
        options = checked_options(
            namespace=f"t-{secrets.token_hex(4)}", max_age=None, workers=1, grace=timedelta(seconds=1),
            max_task_bytes=2**20, error_queue=None, policy=policy,
        )  # fmt: skip
        self.clock = FrozenClock()
        self.context = Context(self.clock, options, KeyMaker())
        self.run: Callable[..., Any] = Driver(self.connection, ServerClock()).run
        self.model = Model(self.clock.now())
        self.claims: list[Task] = []
        self.read: list[Task] = []
        self.modified: list[Modification] = []
        self.run(administering.init(self.context))

    def teardown(self) -> None:
        for name in (self.context.tasks, self.context.workers):
            self.connection.database.drop_collection(name)

    # Producing

    @initialize(priorities=st.lists(st.integers(-1, 1), min_size=3, max_size=6))
    def begin(self, priorities: list[int]) -> None:
        for number, priority in enumerate(priorities):
            self.new(number, None, skip=False, queue="here", priority=priority, delay=0, age=None)

    @rule(
        number=st.integers(0, 9), unique=st.sampled_from([None, None, "u", "v"]), skip=st.booleans(),
        queue=MOSTLY_HERE, priority=st.integers(-1, 1), delay=st.sampled_from([0, 0, 0, 5, 40]),
        age=st.sampled_from([None, None, None, 20, 60]),
    )  # fmt: skip
    def new(
        self, number: int, unique: str | None, *, skip: bool, queue: str, priority: int, delay: int, age: int | None
    ) -> None:
        task = self._new(number, unique, skip=skip, queue=queue, priority=priority, delay=delay, age=age)
        holders = self.model.holders(task)
        try:
            made = self.run(enqueueing.new(self.context, task))
        except DuplicateTask:
            self._same("refused", True, bool(holders) and not skip)
            return
        self._same("enqueued", made.key in holders if holders and skip else made.key == task.key and not holders, True)
        if not holders:
            self.model.add(task)

    # Claiming

    @rule(queue=MOSTLY_HERE, limit=st.integers(1, 4))
    def claim_many(self, queue: str, limit: int) -> None:
        wanted = Wanted((queue,), "w", limit)
        claim = self.run(claiming.claim_many(self.context, wanted, suspicion=MOST_SUSPICION))
        self._claimed(claim.tasks, self.model.batch(queue, limit))

    @rule(queue=MOSTLY_HERE)
    def claim_first(self, queue: str) -> None:
        claim = self.run(claiming.claim_first(self.context, Wanted((queue,), "w")))
        expected = self.model.first(queue)
        self._claimed(claim.tasks, [] if expected is None else [expected])

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS)
    def renew(self, which: int) -> None:
        claim = self._claim(which)
        lost = self.run(leasing.renew_each(self.context, [claim], None))
        self._same("renewed", not lost, self.model.renew(claim))

    # Ending

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS, event=st.sampled_from(ENDINGS), delay=st.sampled_from([0, 5, 40]))
    def end(self, which: int, event: Event, delay: int) -> None:
        claim = self._claim(which)
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
            self._same("lost", lost.keys, (claim.key,))
            accepted = False
        self._same(f"{event} accepted", accepted, self.model.end(claim, event, delay=delay, to=to))

    @precondition(lambda self: self.model.tasks)
    @rule(which=DIGITS)
    def cancel(self, which: int) -> None:
        key = sorted(self.model.tasks)[which % len(self.model.tasks)]
        self.run(tending.cancel(self.context, key))
        self.model.cancel(key)

    # Time

    @rule(seconds=st.sampled_from([0.5, 5, 30.5, 31]))
    def advance(self, seconds: float) -> None:
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
        self.run(getattr(upkeep, sweep)(self.context))
        getattr(self.model, sweep)()

    # The atomic change

    @precondition(lambda self: self.read)
    @rule(
        chosen=st.lists(st.tuples(DIGITS, st.sampled_from(ROLES)), min_size=1, max_size=2),
        fresh=st.sampled_from([True, True, True, False]),
        inserted=st.none() | st.tuples(st.integers(0, 9), st.sampled_from([None, "u"]), st.booleans()),
    )  # fmt: skip
    def modify(self, chosen: list[tuple[int, str]], fresh: bool, inserted: tuple[int, str | None, bool] | None) -> None:
        parts: dict[str, Any] = {"change": [], "delete": [], "depend": [], "insert": []}
        named = {}
        for which, role in chosen:
            task = self._seen(which, fresh=fresh)
            named[task.key] = task, role, which
        for task, role, which in named.values():
            parts[role if role in parts else "change"].append(task if role in parts else _change(task, role, which))
        if inserted is not None and f"k{inserted[0]}" not in named:
            parts["insert"].append(self._new(inserted[0], inserted[1], skip=inserted[2]))
        whole = Modification(**parts)
        self._modify(whole)
        self.modified.append(whole)

    @precondition(lambda self: self.modified)
    @rule(back=st.sampled_from([1, 1, 1, 2, 3]))
    def modify_again(self, back: int) -> None:
        self._modify(self.modified[-min(back, len(self.modified))])

    # What must hold after each step

    @invariant()
    def is_as_the_model_says(self) -> None:
        rows = list(self.connection.database[self.context.tasks].find())
        now = {}
        for row in rows:
            task = reading.task_from(row, self.context.namespace, self.clock.now())
            now[task.key] = task
        self._same("keys", sorted(now), sorted(self.model.tasks))
        for key, known in self.model.tasks.items():
            wanted = known.shown()
            self._same(key, {name: getattr(now[key], name) for name in wanted}, wanted)

    @invariant()
    def nobody_shares_what_must_be_one_s_own(self) -> None:
        uniques = [task.unique for task in self.model.live() if task.unique is not None]
        self._same("unique", len(uniques), len(set(uniques)))

    def _new(self, number: int, unique: str | None, *, skip: bool, age: int | None = None, **options: Any) -> NewTask:
        expires_at = None if age is None else self.clock.now() + timedelta(seconds=age)
        conflict = "skip" if skip else "error"
        return NewTask({}, key=f"k{number}", unique=unique, on_conflict=conflict, expires_at=expires_at, **options)

    def _claimed(self, tasks: list[Task], expected: list[str]) -> None:
        self._same("claimed, in this order", [task.key for task in tasks], expected)
        for task in tasks:
            self.model.claimed(task.key, task.token or "")
        self.claims += tasks
        self.read += tasks

    def _claim(self, which: int) -> Task:
        """A claim that still holds, or one of any time: three of four draws are from the last few."""
        few = self.claims[-3:] if which % 4 else self.claims
        return few[which // 4 % len(few)]

    def _seen(self, which: int, *, fresh: bool) -> Task:
        """A task as it is now, or as it was once read or claimed."""
        if fresh and self.model.tasks:
            key = sorted(self.model.tasks)[which % len(self.model.tasks)]
            row = self.connection.database[self.context.tasks].find_one({"_id": key}) or {}
            shown = {name: value for name, value in row.items() if name != documents.TOKEN}
            self.read.append(reading.task_from(shown, self.context.namespace, self.clock.now()))
            return self.read[-1]
        few = self.read[-4:] if which % 4 else self.read
        return few[which // 4 % len(few)]

    def _modify(self, whole: Modification) -> None:
        try:
            done = self.run(modifying.modify(self.context, whole))
        except DependencyError:
            self._same("modified", False, self.model.modify(whole))
            return
        self._same("modified", True, self.model.modify(whole))
        self.read += [*done.changed, *done.inserted]

    def _same(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            raise Differs(f"{what}: it is {found}, and should be {expected}")


def _change(task: Task, role: str, which: int) -> Change:
    values: dict[str, Any] = {
        "priority": which % 3, "tags": {"n": which}, "queue": QUEUES[which % 2], "delay": which % 2 * 5,
    }  # fmt: skip
    return task.as_change(**{role: values[role]})


def prove(uri: str, examples: int, steps: int, *, seeded: bool = True) -> None:
    """Run the machine; a difference is told as found where a fault was planted, and made small elsewhere."""
    connection = connect(uri)
    machine = type("Proof", (Machine,), {"connection": connection})
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None, max_examples=examples, stateful_step_count=steps, derandomize=seeded, database=None,
                suppress_health_check=health, phases=[Phase.generate], report_multiple_bugs=False,
            ),
        )  # fmt: skip
    finally:
        connection.close()


def test_every_verb_in_any_order_does_as_the_model_says(server: EmbeddedServer) -> None:
    prove(server.uri, 60, 50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_verb_in_any_order_does_as_the_model_says_for_long(server: EmbeddedServer) -> None:
    prove(server.uri, 500, 100, seeded=False)


# Faults put into the product


def no_fence(patch: pytest.MonkeyPatch) -> None:
    held = filters.held
    without = documents.TOKEN
    patch.setattr(filters, "held", lambda *a: {name: value for name, value in held(*a).items() if name != without})


def attempts_counted_at_failure(patch: pytest.MonkeyPatch) -> None:
    claimed, ended = updates.claimed, updates.ended

    def claims_free(*a: Any) -> Any:
        update = claimed(*a)
        del update["$inc"][documents.ATTEMPTS]
        return update

    def failures_count(verdict: Any, *a: Any, **options: Any) -> Any:
        update = ended(verdict, *a, **options)
        if verdict.error is not None:
            update["$inc"][documents.ATTEMPTS] = 1
        return update

    patch.setattr(updates, "claimed", claims_free)
    patch.setattr(updates, "ended", failures_count)


def versions_not_compared(patch: pytest.MonkeyPatch) -> None:
    from mongoq.storage import obstacles  # noqa: PLC0415 -- only here

    patch.setattr(obstacles, "_gone", lambda document, role, ref: "gone" if document is None else None)
    patch.setattr(filters, "unchanged", lambda refs, now: filters.by_keys([ref.key for ref in refs]))


def repetition_not_recognised(patch: pytest.MonkeyPatch) -> None:
    def never(context: Context, plan: Any) -> Iterator[Any]:
        yield from ()

    patch.setattr(modifying, "_made_before", never)


def renewal_is_a_version(patch: pytest.MonkeyPatch) -> None:
    renewed = updates.renewed
    patch.setattr(updates, "renewed", lambda *a: {**renewed(*a), "$inc": {documents.VERSION: 1}})


def rescued_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(filters, "SKEW", timedelta(0))


FAULTS = [
    no_fence, attempts_counted_at_failure, versions_not_compared, repetition_not_recognised, renewal_is_a_version,
    rescued_too_early,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_machine_sees_a_fault(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fault(monkeypatch)
    with pytest.raises(Differs):
        prove(server.uri, 60, 60)


def test_dependencies_that_are_only_read_skew(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two changes that each depend on what the other writes one is refused, because what is depended on is written.

    With the write replaced by one that does nothing, both are accepted: that is what it is for.
    """
    assert _accepted(server.uri) == 1
    monkeypatch.setattr(updates, "depended", lambda: {"$setOnInsert": {documents.DEPENDED: 1}})
    assert _accepted(server.uri) == 2


def _accepted(uri: str) -> int:
    """How many of two such changes, in transactions that overlap, are made."""
    accepted = 0
    with MongoClient[dict[str, Any]](uri) as client, Queue(client, namespace=f"t-{secrets.token_hex(4)}") as queue:
        alice, bob = queue.new({"on_call": True}, key="alice"), queue.new({"on_call": True}, key="bob")
        with client.start_session() as first, client.start_session() as second:
            for session in (first, second):
                session.start_transaction(ReadConcern("snapshot"))
                client["mongoq"][f"{queue.namespace}.tasks"].find_one({}, session=session)
            for session, mine, other in ((first, alice, bob), (second, bob, alice)):
                with suppress(StorageUnavailable):
                    queue.modify(change=[mine.as_change(tags={"on_call": False})], depend=[other], session=session)
                    accepted += 1
            for session in (first, second):
                if session.in_transaction:
                    with suppress(PyMongoError):
                        session.commit_transaction()
        off = [task for task in queue.tasks() if not task.tags["on_call"]]
        assert len(off) == accepted
    return accepted
