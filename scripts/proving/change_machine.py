"""All verbs in any order: beside those of `task_machine` those from outside, and the atomic change."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from pymongo.read_concern import ReadConcern

from mongoq.core.errors import InvalidTask, StorageUnavailable, WrongState
from mongoq.core.lifecycle import WAITING, TaskState
from mongoq.core.requests import Adjustment, checked_adjustment
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.modification import Change, Modification, Modified
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.control import Within
from mongoq.storage.operations import adjust, bulk, requeue
from mongoq.storage.operations.modify import apply
from proving import change_model
from proving.task_machine import DIGITS, MOSTLY_HERE, NUMBERS, QUEUES, TaskMachine

ROLES = ("priority", "tags", "queue", "delay", "delete", "depend")
OPERATIONS = ("cancel", "delete", "move", "priority", "delay", "expires_at")


class Machine(TaskMachine):
    """All verbs."""

    def __init__(self) -> None:
        super().__init__()
        self.modified: list[Modification] = []

    # From outside

    @precondition(lambda self: self.model.tasks)
    @rule(which=DIGITS, what=st.sampled_from(OPERATIONS), value=st.sampled_from([0, 5, 40]))
    def operate(self, which: int, what: str, value: int) -> None:
        """Change one task as an operator does."""
        key, to = self.key(which), QUEUES[which % 2]
        soon = self.clock.now() + timedelta(seconds=value)
        given: dict[str, Any] = {what: {"priority": value % 3, "delay": value, "expires_at": soon}.get(what)}
        operations: dict[str, Any] = {
            "cancel": lambda: bulk.cancel(self.context, key), "delete": lambda: bulk.delete(self.context, key),
            "move": lambda: bulk.move(self.context, key, to),
        }  # fmt: skip
        try:
            self.run(operations[what]() if what in operations else self._update(key, given))
            done = True
        except (WrongState, InvalidTask):
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
            self.run(requeue.redrive(self.context, queue, keys))
            change_model.redrive(self.model, queue, keys)
        else:
            self.run(requeue.rerun_all(self.context, keys, None, TaskState.FAILED))
            change_model.rerun_all(self.model, keys)

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
                    self.run(_within(session, apply.modify(self.context, whole)))
                    made.append(session)
                except (StorageUnavailable, DependencyError, InvalidTask):
                    session.abort_transaction()
            for session in made:
                session.commit_transaction()
        return [session in made for session in sessions]

    def _modify(self, whole: Modification) -> None:
        try:
            done = self.run(apply.modify(self.context, whole))
        except (DependencyError, InvalidTask):
            self.same("modified", False, change_model.modify(self.model, whole))
            return
        self.same("modified", True, change_model.modify(self.model, whole))
        self.read += [*done.changed, *done.inserted]

    def _update(self, key: str, given: dict[str, Any]) -> Any:
        return adjust.adjust(self.context, key, checked_adjustment(key, Adjustment(**given)))


def _change(task: Task, role: str, which: int) -> Change:
    values: dict[str, Any] = {
        "priority": which % 3, "tags": {"n": which}, "queue": QUEUES[which % 2], "delay": which % 2 * 5,
    }  # fmt: skip
    return task.as_change(**{role: values[role]})


def _within(session: Any, op: Op[Modified]) -> Op[Modified]:
    done: Modified = yield Within(session, lambda: op)
    return done
