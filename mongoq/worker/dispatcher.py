"""Brings claimed attempts to the executor, and takes what becomes of them to the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from mongoq.core.errors import MongoqError
from mongoq.core.events import Signpost
from mongoq.core.failures import describe
from mongoq.core.host.tracebacks import let_go
from mongoq.core.judging.verdict import Outcome, Raised, Released, Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.signals import Interruption
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.config import IGNORE, STOP, WorkerConfig, executor_for
from mongoq.worker.executors.base import Executor, Reports
from mongoq.worker.executors.batching import Batching
from mongoq.worker.executors.timed import Timed
from mongoq.worker.limits.chains import Chains
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.finisher import tell_lost
from mongoq.worker.services.prefetch import Prefetch, Room
from mongoq.worker.stages import Completion, Wake
from mongoq.worker.verdicts import log_failure, stop_of, verdict_instead, verdict_on

log = logging.getLogger("mongoq.worker")


class Dispatcher:
    """What happens to one attempt between its claim and its verdict. Called from any thread; no I/O."""

    def __init__(
        self,
        runtime: Runtime,
        config: WorkerConfig,
        *,
        stop: Callable[[BaseException], None],
        make_executor: Callable[[WorkerConfig, Reports], Executor] = executor_for,
    ) -> None:
        self._runtime = runtime
        self._ledger = runtime.ledger
        self._config = config
        self._stop = stop
        self.prefetch = Prefetch(config.prefetch)
        self._timed = Timed()
        self.chains = Chains()
        reports = Reports(
            self.started,
            self.ended,
            running=self.running,
            look=lambda: runtime.wake(Wake.DEADLINE),
            more_ready=lambda: runtime.wake(Wake.WORK),
            failed=stop,
            time_left=lambda: self._ledger.stop_by - runtime.elapsed(),
            waiting=self._ledger.waiting,
        )
        self.executor = make_executor(config, reports)
        self._follow = getattr(self.executor, "follow", self.executor.submit)
        # For a child that starts a task would wait; where that may be, a burst on an empty queue needs no child at all.
        opens = config.prefetch == 0 or config.handler.lifespan is not None
        slots = (lambda: self.executor.ready) if opens else (lambda: config.workers)
        self.room = self._room(slots, self.executor)

    def _room(self, slots: Callable[[], int], executor: Executor) -> Room:
        """The room for tasks; a batch takes one slot, however many tasks it is."""
        ledger, prefetch, workers = self._ledger, self.prefetch, self._config.workers
        if not isinstance(executor, Batching):
            return Room(ledger, prefetch, slots, workers)
        return Room(ledger, prefetch, lambda: slots() + executor.surplus, workers, executor.lacking)

    def receive(self, attempts: list[LiveAttempt], *, joining: bool = False) -> None:
        """Give what a claim brought to the executor; `joining`: a claim for batches that are not full yet."""
        if self._ledger.stopping or self._ledger.draining:
            self.release(attempts)
            return
        if self._config.prefetch == 0 and not joining:
            # What a claim took whose reply was lost is found when its handlers may be busy again.
            free = max(0, self.room.slots() - self._ledger.active)
            self.release(attempts[free:])
            attempts = attempts[:free]
        if attempts:
            self.prefetch.claimed(attempts, self._runtime.elapsed() - attempts[0].claimed_at)
        self._ledger.wait(attempts)
        now = self._runtime.elapsed()
        early = [attempt for attempt in attempts if attempt.not_before > now]
        if early:
            self._timed.put(early)
            self._runtime.wake(Wake.DEADLINE)
            attempts = [attempt for attempt in attempts if attempt.not_before <= now]
        if any(attempt.chain is not None for attempt in attempts):
            attempts, back = self.chains.begin(attempts)
            self._give_back(back)
        self.executor.submit(attempts)

    def submit_due(self, now: float) -> float:
        """Give those to the executor that may start now under their rate limits; seconds until the next one may."""
        if due := self._timed.take(now):
            self.executor.submit(due)
        return self._timed.wait(self._runtime.elapsed())

    def started(self, attempt: LiveAttempt) -> bool:
        """Whether its handler may start: not if its lease ran out while it waited, or a cancel or a stop came."""
        why_not = attempt.interruption
        if why_not is Interruption.LEASE_LOST:
            self.lose(attempt)
        elif why_not is Interruption.CANCEL or self._ledger.stop_by != FOREVER or self._is_late(attempt):
            self._settle(attempt, Released())
        return self._started(attempt)

    def _is_late(self, attempt: LiveAttempt) -> bool:
        """Whether its start under a rate limit has passed."""
        return attempt.not_after != FOREVER and self._runtime.elapsed() > attempt.not_after

    def running(self, attempt: LiveAttempt) -> None:
        """Note that its handler has started elsewhere; it is too late to release it."""
        if attempt.interruption is Interruption.LEASE_LOST:
            self.lose(attempt)
        self._started(attempt)

    def _started(self, attempt: LiveAttempt) -> bool:
        if not self._ledger.start(attempt):
            self._runtime.wake(Wake.WORK)  # there is room for another
            self._go_on(attempt)
            return False
        self._runtime.tally.started(attempt)
        if self._runtime.telemetry:
            self._runtime.telemetry.emit(Signpost.STARTED, task=attempt.task)
        return True

    def ended(self, attempt: LiveAttempt, outcome: Outcome, seconds: float, *, last: bool = True) -> None:
        """Take what a handler came to after so many seconds; `last`: no other attempt of its batch has its error."""
        self._ledger.leave_one(attempt)
        if not isinstance(outcome, Released):
            self.prefetch.ended(seconds)
        attempt.ran = seconds
        self._settle(attempt, outcome)
        self._go_on(attempt, self._follow)
        if isinstance(outcome, Raised):
            stop = stop_of(attempt, outcome.error)
            if stop is not None:
                self._stop(stop)
            if last:
                let_go(outcome.error)

    def release(self, attempts: Sequence[LiveAttempt]) -> None:
        """Give these back, not charged."""
        for attempt in attempts:
            self._settle(attempt, Released())

    def release_waiting(self) -> None:
        """Give back what no handler has started."""
        self._give_back(self.chains.close([*self._timed.take(FOREVER), *self.executor.drain()]))

    def release_stalled(self, now: float, longest: float) -> None:
        """Give back what waits for others that share its slot, where none of these has started for so many seconds."""
        self._give_back(self.chains.stalled(now, longest))

    def _give_back(self, attempts: Sequence[LiveAttempt]) -> None:
        if attempts:
            self._ledger.leave(attempts)
            self.release(attempts)

    def _go_on(self, attempt: LiveAttempt, submit: Callable[[list[LiveAttempt]], object] | None = None) -> None:
        """Let the next of a chain start, when this one has ended."""
        if attempt.chain is not None:
            ready, back = self.chains.leave(attempt)
            if ready:
                (submit or self.executor.submit)(ready)
            self._give_back(back)

    def lose(self, attempt: LiveAttempt) -> None:
        """Give an attempt up whose lease is gone; its handler learns it by `task.cancelled`."""
        attempt.interrupt(Interruption.LEASE_LOST)
        if self._ledger.lose(attempt):
            self._runtime.tally.lost(attempt, self._runtime.context.clock)
            tell_lost(self._runtime, attempt)
            self._runtime.wake(Wake.WORK)
            if not attempt.started_at:
                self._go_on(attempt)

    def instead(self, completion: Completion, error: MongoqError) -> Verdict:
        """What becomes of a task whose ending was refused with the change or the result that came with it."""
        runtime, choice = self._runtime, self._config.on_dependency_error
        runtime.telemetry.emit(Signpost.REFUSED, task=completion.attempt.task, error=error)
        verdict = verdict_instead(runtime.context, completion, error, runtime.worker, ignore=choice == IGNORE)
        if choice == STOP and isinstance(error, DependencyError):
            self._stop(error)
        return verdict

    def _settle(self, attempt: LiveAttempt, outcome: Outcome) -> None:
        """Decide about an attempt and leave it to be written, unless another thread has ended it."""
        if attempt.committed:
            self._settle_committed(attempt, outcome)
            return
        runtime = self._runtime
        verdict = verdict_on(runtime.context, attempt, outcome, runtime.worker)
        wake = self._ledger.end(attempt, verdict)
        if wake is None:
            return
        if runtime.telemetry:
            runtime.telemetry.emit(Signpost.ENDED, task=attempt.task, verdict=verdict)
        if verdict.error is not None:
            log_failure(attempt.task, verdict, attempt.policy.failure_message)
        runtime.wake(wake)

    def _settle_committed(self, attempt: LiveAttempt, outcome: Outcome) -> None:
        """Note the end of a handler whose own transaction has completed the task."""
        if not attempt.end():
            return
        if isinstance(outcome, Raised):
            told = describe(outcome.error)
            log.warning(
                "task %s is completed; its handler then raised %s: %s", attempt.task.key, told.kind, told.message
            )
        verdict = Verdict(Event.COMPLETE)
        self._runtime.tally.ended([Completion(attempt, verdict)], (), self._runtime.context.clock)
        telemetry = self._runtime.telemetry
        if telemetry:
            telemetry.emit(Signpost.ENDED, task=attempt.task, verdict=verdict)
            telemetry.emit(Signpost.FINISHED, count=1, endings=[(attempt.task, verdict)])
        self._runtime.freed.add(attempt.slots)
        wakes = self._ledger.written([Completion(attempt, verdict)])
        for wake in [*wakes, Wake.WORK] if attempt.slots else wakes:
            self._runtime.wake(wake)
