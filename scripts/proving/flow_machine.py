"""Parents and batches in any order of verbs, against their model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mongoq import BatchFinished, NewTask, Queue, Task
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.testing import memory_queue
from proving.flow_model import FlowModel

DIGITS = st.integers(0, 10**6)
RULES = st.sampled_from(["cancel", "cancel", "run", "wait"])
RERUN: Final = (TaskState.FAILED, TaskState.CANCELLED)


class FlowMachine(RuleBasedStateMachine):
    """The verbs of producers, of workers and of operators, on a queue in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue = memory_queue(max_retries=0, keep_completed=3600)
        self.model = FlowModel()
        self.claims: dict[str, Task] = {}
        self.count = 0

    def teardown(self) -> None:
        """Close the queue."""
        self.queue.close()

    def _key(self) -> str:
        self.count += 1
        return f"k{self.count:03}"

    def _batches(self) -> list[str]:
        return sorted(key for key, task in self.model.tasks.items() if task.open is not None)

    @rule(parents=st.lists(DIGITS, max_size=3), how=RULES, batch=st.none() | DIGITS)
    def new(self, parents: list[int], how: str, batch: int | None) -> None:
        """Enqueue a task after some of those that there are, one of them missing now and then, perhaps in a batch."""
        known = sorted(self.model.tasks)
        after = sorted(
            {known[place % (len(known) + 1)] if place % (len(known) + 1) < len(known) else "none" for place in parents}
        )
        batches = self._batches()
        member = None if batch is None or not batches else batches[batch % len(batches)]
        key = self._key()
        try:
            self.queue.new(key=key, after=after, on_parent_failure=how, batch=member)
        except BatchFinished:
            assert member is not None
            assert not self.model.takes(member)
            return
        assert member is None or self.model.takes(member)
        self.model.add(key, after, how, member)

    @rule(around=st.none() | DIGITS)
    def open_batch(self, around: int | None) -> None:
        """Open a batch, perhaps in another, by a block that breaks off."""
        outer = [key for key in self._batches() if self.model.takes(key)]
        inside = None if around is None or not outer else outer[around % len(outer)]
        key = self._key()
        try:
            with self.queue.batch(then=NewTask(), key=key, batch=inside):
                raise ZeroDivisionError
        except ZeroDivisionError:
            self.model.open(key, inside)

    @precondition(lambda self: self._batches())
    @rule(which=DIGITS)
    def close_batch(self, which: int) -> None:
        """Close a batch, which may be closed already."""
        key = self._batches()[which % len(self._batches())]
        self.queue.close_batch(key)
        self.model.close(key)

    @rule(ok=st.booleans(), at_once=st.booleans())
    def work(self, *, ok: bool, at_once: bool) -> None:
        """Claim a task, and end it at once or later."""
        task = self.queue.try_claim()
        assert (task is None) == (not self.model.in_state(TaskState.READY)), "what may run is claimed, and nothing else"
        if task is None:
            return
        assert task.key in self.model.in_state(TaskState.READY), "no child before its parents, one callback"
        self.model.tasks[task.key].state = TaskState.RUNNING
        self.claims[task.key] = task
        if at_once:
            self._finish(task, ok=ok)

    @precondition(lambda self: self.claims)
    @rule(which=DIGITS, ok=st.booleans())
    def finish(self, which: int, *, ok: bool) -> None:
        """End what was claimed."""
        self._finish(self.claims[sorted(self.claims)[which % len(self.claims)]], ok=ok)

    def _finish(self, task: Task, *, ok: bool) -> None:
        del self.claims[task.key]
        if ok:
            self.queue.complete(task)
        else:
            self.queue.fail(task, "no")
        self.model.end(task.key, TaskState.COMPLETED if ok else TaskState.FAILED)

    @rule(which=DIGITS)
    def cancel(self, which: int) -> None:
        """Cancel what waits."""
        self._to_one(which, self.queue.cancel, lambda key: self.model.end(key, TaskState.CANCELLED), *_WAITING)

    @rule(which=DIGITS)
    def delete(self, which: int) -> None:
        """Delete what does not run."""
        self._to_one(which, self.queue.delete, self.model.delete, *_WAITING, *FINISHED)

    @rule(which=DIGITS)
    def rerun(self, which: int) -> None:
        """Run a task again, with its children; of a batch that would be its callback by itself."""
        again = lambda key: self.queue.rerun(key, children=True)  # noqa: E731
        self._to_one(which, again, self.model.rerun, *RERUN)

    def _to_one(
        self, which: int, act: Callable[[str], Any], modelled: Callable[[str], Any], *states: TaskState
    ) -> None:
        plain = [key for key in self.model.in_state(*states) if self.model.tasks[key].open is None]
        if plain:
            key = plain[which % len(plain)]
            act(key)
            modelled(key)

    @invariant()
    def alike(self) -> None:
        """Every task stands where the model says."""
        found = {task.key: task.state for task in self.queue.tasks(limit=None)}
        assert found == {key: task.state for key, task in self.model.tasks.items()}


_WAITING: Final = (TaskState.PARKED, TaskState.SCHEDULED, TaskState.READY)
