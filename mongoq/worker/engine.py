"""One worker process: its services, and how they start and stop together."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import DependencyError, MongoqError
from mongoq.core.events import Signpost, Telemetry
from mongoq.core.lifecycle import Event
from mongoq.core.requests import ClaimRequest
from mongoq.core.signals import Interruption
from mongoq.core.verdict import Ending, Raised, Released, Verdict, describe
from mongoq.storage.context import Context
from mongoq.storage.operations import heartbeat, queries, sweep
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.config import EXECUTORS, IGNORE, STOP, WorkerConfig
from mongoq.worker.executors.base import Executor, Reports
from mongoq.worker.runtime import Run, Runtime
from mongoq.worker.services import switch_interval
from mongoq.worker.services.claimer import BATCH, Claimer
from mongoq.worker.services.fetcher import Intake
from mongoq.worker.services.finisher import GATHERED, FinishBuffer, Finisher, Settled
from mongoq.worker.services.loop import Health, Loop, Step
from mongoq.worker.services.prefetch import Prefetch
from mongoq.worker.services.renewer import Renewer
from mongoq.worker.services.sweeper import Sweeper
from mongoq.worker.services.watcher import Stream, Waker
from mongoq.worker.settling import log_failure, verdict_of, verdict_of_refused

log = logging.getLogger("mongoq.worker")

LAST_WRITES: Final = 0.3
"""Seconds beyond the grace in which a stopping worker still tries to write what it has.

The rest of the second that is promised is for closing the client and for the end of the interpreter.
"""
LONGEST_WAIT: Final = 1.0
"""Seconds for which tasks may wait here while no handler starts; then other workers may have them."""
LAST_CLAIM: Final = 3.5
"""Seconds for which a claim under way is waited for: one that comes later runs out its leases."""


class Engine:
    """Claims, runs and finishes tasks until it is stopped, or in a burst until nothing is left."""

    def __init__(
        self,
        context: Context,
        run: Run,
        job: WorkerConfig,
        stream: Stream,
        *,
        telemetry: Telemetry,
        done: Callable[[], None],
    ) -> None:
        worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._shared = Runtime(context, run, worker, telemetry)
        self._book = self._shared.book
        self._job = job
        self._done = done
        self._buffer = FinishBuffer()
        self._prefetch = Prefetch(job.prefetch)
        self._held: set[LiveAttempt] = set()
        """What waits for a handler or is in one; each operation on the set is atomic."""
        reports = Reports(self._may_start, self._ended, runs=self._runs, look=self._look, more_ready=self.wake)
        self._executor: Executor = EXECUTORS[job.executor](job.handler, job.workers, reports)
        self._started_at = elapsed()
        self._sweeper = Sweeper(self._shared, found_work=self.wake, watched=lambda: stream.open)
        self._waker = Waker(stream, news=self._news, ready=self.wake, scheduled=self._look_ahead, telemetry=telemetry)
        wanted = ClaimRequest(job.queues, self._shared.worker, where=job.where)
        claimer, aide = (
            Claimer(self._shared, wanted, room=self._room, receive=self._receive, aide=aide) for aide in (False, True)
        )
        self._intake = Intake(
            claimer,
            aide,
            held=lambda: len(self._book) + aide.asking,
            limit=job.limit,
            nothing_left=self._nothing_left if job.burst else None,
            idle=self._waker.idle,
        )
        self._finisher = Finisher(
            self._shared,
            self._buffer,
            gather_for=self._gather_for,
            taken=self._refill,
            written=self._written,
            refused=self._refused,
        )
        self._loops = self._make_loops(Health(telemetry))
        self._stop_by = float("inf")
        self._progress = threading.Event()
        self._stopping = threading.Lock()
        """Held while it starts, too."""
        self.stopped = threading.Event()
        self.error: DependencyError | None = None
        """The refused change that ended it, where the job says so."""

    @property
    def worker(self) -> str:
        """Its name in the fleet."""
        return self._shared.worker

    def _make_loops(self, health: Health) -> dict[str, Loop]:
        steps: dict[str, Step] = {
            "claimer": self._intake.step,
            "aide": self._intake.help,
            "finisher": self._finisher.step,
            "keeper": Renewer(self._shared, facts=self._facts, lose=self._lose).step,
            "sweeper": self._sweeper.step,
            "watch": self._watch,
        }
        loops = {name: Loop(name, step, health, self._abandon) for name, step in steps.items()}
        if not self._job.burst:
            # Its stream may stand on a client that others go on to use.
            loops["waker"] = Loop("waker", self._waker.step, health, self._abandon, last=self._waker.end)
        return loops

    def start(self, made: Callable[[], None]) -> None:
        """Begin to work. From `made` on others may know of it: their stop waits until all has begun."""
        with self._stopping:
            made()
            switch_interval.shorten(self)
            self._executor.start()
            for loop in self._loops.values():
                loop.start()

    def wake(self) -> None:
        """Look for work now instead of later."""
        self._loops["claimer"].wake()
        if self._intake.deep:
            self._loops["aide"].wake()

    def _news(self) -> None:
        """Take what has just come, at once."""
        self._intake.hurry = True
        self._loops["claimer"].wake()

    def stop(self, grace: float) -> None:
        """Stop claiming, let handlers end for `grace` seconds, release the rest uncharged. Returns when stopped.

        A second call shortens the grace of the first.
        """
        self._stop_by = min(self._stop_by, elapsed() + grace)
        self._progress.set()
        self._loops["finisher"].wake()
        with self._stopping:
            if not self.stopped.is_set():
                self._shut_down()
                self.stopped.set()
                self._done()

    # What the services ask for, and tell.

    def _room(self) -> tuple[int, int]:
        """How many tasks there is room for, and how many make a claim worth its trip."""
        ahead = self._prefetch.wanted(self._job.workers)
        # Endings that wait count like tasks that wait: both run again when this process dies. But for a few, which
        # wait to be written together: no handler is to stand idle for them.
        taken = len(self._held) + max(0, len(self._buffer) - GATHERED) + self._intake.asking
        return self._slots + ahead - taken, min(BATCH, self._prefetch.enough(self._job.workers))

    @property
    def _slots(self) -> int:
        """How many handlers to claim for."""
        # For a child that starts a task would wait; where that may be, a burst on an empty queue needs no child at all.
        return self._executor.ready if self._job.prefetch == 0 else self._job.workers

    def _receive(self, attempts: list[LiveAttempt]) -> None:
        if self._stop_by != float("inf"):
            self._release(attempts)
            return
        if self._job.prefetch == 0:
            # What a claim took whose reply was lost is found when its handlers may be busy again.
            free = max(0, self._slots - len(self._held))
            self._release(attempts[free:])
            attempts = attempts[:free]
        if attempts:
            self._prefetch.claimed(attempts, elapsed() - attempts[0].claimed_at)
        self._held.update(attempts)
        self._executor.submit(attempts)

    def _may_start(self, attempt: LiveAttempt) -> bool:
        """Whether its handler may start: not if the lease has run out while it waited, or a cancel or a stop came."""
        why_not = attempt.interruption
        if why_not is not Interruption.LEASE_LOST and (why_not is Interruption.CANCEL or self._stop_by != float("inf")):
            self._settle(attempt, Released())
        return self._runs(attempt)

    def _runs(self, attempt: LiveAttempt) -> bool:
        """Note that a handler starts; whether the attempt is still to be had, as its lease may have run out."""
        if attempt.interruption is Interruption.LEASE_LOST:
            self._lose(attempt)
        if not attempt.open:
            self._held.discard(attempt)
            self.wake()  # there is room for another
            return False
        self._started_at = elapsed()
        if self._shared.telemetry:
            self._shared.telemetry.emit(Signpost.STARTED, task=attempt.task)
        return True

    def _ended(self, attempt: LiveAttempt, ending: Ending, seconds: float) -> None:
        self._held.discard(attempt)
        if not isinstance(ending, Released):
            self._prefetch.ended(seconds)
        self._settle(attempt, ending)

    def _settle(self, attempt: LiveAttempt, ending: Ending) -> None:
        """Judge an ending and leave it to the finisher, unless somebody else has ended the attempt."""
        if attempt.committed:
            self._settled_itself(attempt, ending)
            return
        verdict = verdict_of(attempt, ending, self._shared)
        if not attempt.end():
            return
        if self._shared.telemetry:
            self._shared.telemetry.emit(Signpost.ENDED, task=attempt.task, verdict=verdict)
        self._buffer.add(attempt, verdict)
        if verdict.error is not None:
            log_failure(attempt.task, verdict)
        if self._held and self._finisher.gathering:
            self._refill()
        else:
            self._loops["finisher"].wake()

    def _settled_itself(self, attempt: LiveAttempt, ending: Ending) -> None:
        """Note the end of a handler whose own transaction has completed the task."""
        if not attempt.end():
            return
        if isinstance(ending, Raised):
            told = describe(ending.error)
            log.warning(
                "task %s is completed; its handler then raised %s: %s", attempt.task.key, told.kind, told.message
            )
        verdict = Verdict(Event.COMPLETE)
        if self._shared.telemetry:
            self._shared.telemetry.emit(Signpost.ENDED, task=attempt.task, verdict=verdict)
            self._shared.telemetry.emit(Signpost.FINISHED, count=1, endings=[(attempt.task, verdict)])
        self._written([Settled(attempt, verdict)], [])

    def _refused(self, attempt: LiveAttempt, verdict: Verdict, error: MongoqError) -> Verdict:
        """What becomes of a task instead, whose ending was refused with the change or the result that came with it."""
        self._shared.telemetry.emit(Signpost.REFUSED, task=attempt.task, error=error)
        choice = self._job.on_dependency_error
        instead = verdict_of_refused(attempt, verdict, error, self._shared, ignore=choice == IGNORE)
        if choice == STOP and isinstance(error, DependencyError) and self.error is None:
            self.error = error
            grace = self._shared.context.options.grace.total_seconds()
            threading.Thread(target=self.stop, args=(grace,), name="mongoq-stop", daemon=True).start()
        return instead

    def _gather_for(self) -> float:
        """For how many seconds endings may wait to be written together.

        As long as a handler runs, and while one does: so no more is at risk than what runs anyway, and nobody who
        waits for the end of the last task waits longer.
        """
        return self._prefetch.pace if self._held and self._stop_by == float("inf") else 0.0

    def _refill(self) -> None:
        """Claim where there is room that is worth the trip."""
        room, enough = self._room()
        if room >= enough:
            self.wake()

    def _written(self, endings: list[Settled], lost: list[LiveAttempt]) -> None:
        self._book.remove(attempt for attempt, _ in endings)
        for attempt in lost:
            self._tell_lost(attempt)
        if any(verdict.run_at is not None for _, verdict in endings):
            self._look_ahead()
        self._progress.set()
        if len(self._book):
            self._refill()
        else:
            self.wake()  # it may have been the last of a burst

    def _look_ahead(self) -> None:
        """Look for scheduled tasks now: one has just been written, and may be due sooner than the others."""
        self._sweeper.look_ahead()
        self._loops["sweeper"].wake()

    def _lose(self, attempt: LiveAttempt) -> None:
        """Give an attempt up whose lease is gone; its handler learns it by `task.cancelled`."""
        attempt.interrupt(Interruption.LEASE_LOST)
        if attempt.end():
            self._book.remove([attempt])
            self._tell_lost(attempt)
            self._progress.set()
            self.wake()

    def _tell_lost(self, attempt: LiveAttempt) -> None:
        log.warning("the lease on task %s was lost: whatever its handler does is not recorded", attempt.key)
        self._shared.telemetry.emit(Signpost.LEASE_LOST, key=attempt.key)

    def _look(self) -> None:
        self._loops["watch"].wake()

    def _watch(self) -> float:
        """Let the executor look after its deadlines, and give back what long handlers keep waiting."""
        delay = self._executor.step()
        if len(self._held) <= self._slots:
            self._started_at = elapsed()
        elif elapsed() - self._started_at > LONGEST_WAIT:
            self._prefetch.forget()
            self._release_waiting()
        return min(delay, LONGEST_WAIT)

    def _nothing_left(self, sweep: bool) -> bool:
        """Whether a burst is over; if so, it ends the engine."""
        # In this order: what the aide has asked for it holds before it says that it asks no more.
        if self._intake.asking or len(self._book) or (sweep and self._more_to_do()):
            return False
        self._done()
        return True

    def _more_to_do(self) -> bool:
        shared, job = self._shared, self._job
        moved, _ = shared.run(sweep.sweep(shared.context))
        if moved:
            return True
        # The sweeper, or another process, may have made a task ready since the claim that found nothing.
        return bool(shared.run(queries.ready(shared.context, job.queues, job.where)))

    def _facts(self) -> dict[str, Any]:
        host, pid, _ = self.worker.rsplit(":", 2)
        queues = list(self._job.queues)
        return {
            "host": host,
            "pid": int(pid),
            "queues": queues,
            "workers": self._job.workers,
            "running": len(self._book),
        }

    # Shutdown.

    def _shut_down(self) -> None:
        for name in ("claimer", "aide", "sweeper"):
            self._loops[name].stop()
        self._buffer.hurry()
        self._loops["finisher"].wake()
        self._release_waiting()
        for attempt in self._book.all():
            attempt.interrupt(Interruption.SHUTDOWN, limit=self._stop_by)
        self._wait(lambda: not any(attempt.open for attempt in self._book.all()), 0)
        for name in ("claimer", "aide"):
            self._loops[name].join(min(LAST_CLAIM, self._stop_by - elapsed()))
        self._release(self._book.all())
        self._wait(lambda: not len(self._book), LAST_WRITES)
        self._close()
        if not len(self._book):
            # In a thread of its own: without a server it would wait for one.
            goodbye = threading.Thread(target=self._say_goodbye, name="mongoq-goodbye", daemon=True)
            goodbye.start()
            goodbye.join(max(0.0, self._stop_by + LAST_WRITES - elapsed()))

    def _abandon(self) -> None:
        """End without a word to the server: the client was closed by its owner, and the leases will run out."""
        if not self.stopped.is_set() and self._stop_by == float("inf"):
            log.warning("the MongoDB client was closed: this worker has ended, and its leases will run out")
            self._close()
            self.stopped.set()
            self._done()

    def _close(self) -> None:
        for loop in self._loops.values():
            loop.stop()
        self._executor.close()
        switch_interval.restore(self)

    def _say_goodbye(self) -> None:
        try:
            self._shared.run(heartbeat.leave(self._shared.context, self.worker))
        except MongoqError as error:
            log.info("the heartbeat stays for a minute: %s", error)

    def _release_waiting(self) -> None:
        waiting = self._executor.drain()
        self._held.difference_update(waiting)
        self._release(waiting)

    def _release(self, attempts: list[LiveAttempt]) -> None:
        for attempt in attempts:
            self._settle(attempt, Released())

    def _wait(self, over: Callable[[], bool], beyond: float) -> None:
        """Wait until `over`, at most until so long beyond the grace."""
        while not over():
            left = self._stop_by + beyond - elapsed()
            if left <= 0:
                return
            self._progress.wait(min(left, 0.05))
            self._progress.clear()
