"""Tasks held by hand that are renewed in the background, by the renewer that workers have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from mongoq.core.errors import LeaseLost
from mongoq.core.signals import Interruption
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.loop import Health, Loop
from mongoq.worker.services.renewer import Renewer
from mongoq.worker.services.reporter import Reporter

__all__ = ["Keepalive"]


class Claimed(Protocol):
    """A claim: a task, or a reference to one that brings its proof."""

    @property
    def key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """A task that was read when it was claimed."""

    task: Task

    @property
    def key(self) -> str:
        """Its key."""
        return self.task.key

    @property
    def token(self) -> str | None:
        """The proof of the claim."""
        return self.task.token

    @property
    def lost_leases(self) -> int:
        """How many leases in a row it lost."""
        return self.task.lost_leases

    @property
    def unique(self) -> bool:
        """Whether it has a `unique` value."""
        return self.task.unique is not None

    @property
    def awaited(self) -> bool:
        """Whether it has children."""
        return self.task.children

    @property
    def batch(self) -> str | None:
        """The batch that it is a member of."""
        return self.task.batch

    @property
    def slots(self) -> tuple[str, ...]:
        """Nothing: its owner ends it."""
        return ()

    @property
    def queue(self) -> str:
        """Where it stood."""
        return self.task.queue

    @property
    def name(self) -> str | None:
        """The name of its task function."""
        return self.task.name

    @property
    def due(self) -> datetime:
        """Since when it was due."""
        return self.task.run_at

    @property
    def starts(self) -> tuple[Mapping[str, Any], ...]:
        """Nothing: it has started."""
        return ()

    @property
    def attempts(self) -> int:
        """How often it was claimed."""
        return self.task.attempts

    @property
    def size(self) -> int:
        """Nothing: it is its owner who holds it."""
        return 0

    def read(self) -> Task:
        """The task."""
        return self.task


class Keepalive:
    """Renews tasks as long as its `with` block lasts: see `Queue.keepalive`."""

    def __init__(self, runtime: Runtime, tasks: Sequence[Task], lease: timedelta | None, known: Keepalives) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._lease = lease
        self._known = known
        self._lost: dict[str, None] = {}
        renewer, reporter = Renewer(runtime, lose=self._lose), Reporter(runtime)
        health = Health(runtime.telemetry, runtime.elapsed)
        step = lambda now: min(renewer.step(now), reporter.step(now))  # noqa: E731
        self._loop = Loop("keepalive", step, health, clock=runtime.elapsed)

    @property
    def lost(self) -> tuple[str, ...]:
        """The keys of the tasks whose lease was lost, or could not be renewed in time."""
        late = [a.key for a in self._runtime.ledger.all() if a.open and a.interruption is Interruption.LEASE_LOST]
        return tuple(dict.fromkeys([*self._lost, *late]))

    def check(self) -> None:
        """Raise LeaseLost where a lease was lost; cheap in a loop."""
        if lost := self.lost:
            raise LeaseLost(lost)

    def begin(self, sent: float) -> None:
        """Keep the tasks from now on, which were renewed at `sent`, on `elapsed()`."""
        self._runtime.ledger.claim([self._attempt(task, sent) for task in self._tasks])
        self._known.add(self)
        self._loop.start()

    def end(self) -> bool:
        """Keep them no more; whether any of them is still held and not ended."""
        self._loop.stop()
        self._known.remove(self)
        return any(attempt.open for attempt in self._runtime.ledger.all())

    def let_go(self, tasks: Iterable[Claimed]) -> list[LiveAttempt]:
        """Report these no more as lost: their ending is on its way. They are renewed until it is written."""
        return [attempt for attempt in self._of(tasks) if attempt.end()]

    def forget(self, tasks: Iterable[Claimed]) -> None:
        """Renew these no more: they have ended."""
        self._runtime.ledger.forget(self._of(tasks))

    def _of(self, tasks: Iterable[Claimed]) -> list[LiveAttempt]:
        claims = {(task.key, task.token) for task in tasks}
        return [one for one in self._runtime.ledger.all() if (one.key, one.token) in claims]

    def _attempt(self, task: Task, sent: float) -> LiveAttempt:
        policy = self._runtime.context.options.policy.over(task.policy)
        attempt = LiveAttempt(Read(task), replace(policy, lease=self._lease or policy.lease), sent)
        assert attempt.task is task  # which from now on asks the attempt whether to stop
        return attempt

    def _lose(self, attempt: LiveAttempt) -> None:
        attempt.interrupt(Interruption.LEASE_LOST)
        if self._runtime.ledger.lose(attempt):
            self._lost[attempt.key] = None


class Keepalives:
    """Those of one queue object, to be told what ends in their blocks."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._known: list[Keepalive] = []

    def keep(self, tasks: Sequence[Task], lease: timedelta | None) -> Keepalive:
        """A keepalive of these tasks, which begins with its `with` block."""
        return Keepalive(self._make(), tasks, lease, self)

    def add(self, one: Keepalive) -> None:
        """Note one that has begun."""
        with self._lock:
            self._known.append(one)

    def remove(self, one: Keepalive) -> None:
        """Forget one that has ended."""
        with self._lock:
            self._known.remove(one)

    @contextmanager
    def ending(self, tasks: Sequence[Claimed]) -> Iterator[None]:
        """While the ending of these tasks is written; where that fails they are renewed further."""
        known = list(self._known)
        let_go = [attempt for one in known for attempt in one.let_go(tasks)]
        try:
            yield
        except BaseException as error:
            if isinstance(error, LeaseLost) and any(task.key in error.keys for task in tasks):
                _forget(known, tasks)  # some ended, and the caller is told of the others
            else:
                for attempt in let_go:
                    attempt.reopen()
            raise
        _forget(known, tasks)


def _forget(known: Iterable[Keepalive], tasks: Sequence[Claimed]) -> None:
    for one in known:
        one.forget(tasks)
