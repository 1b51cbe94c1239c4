"""Writes endings in groups, and keeps them until they are written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from datetime import timedelta
from typing import Final

from mongoq.core.errors import InvalidTask, MongoqError, StorageRefused, StorageUnavailable
from mongoq.core.events import Signpost
from mongoq.core.judging.verdict import Verdict
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.storage.commands import WRITE_CONFLICT
from mongoq.storage.operations.finish import Finished, finish, finish_and_modify
from mongoq.storage.operations.recovery.skip_locked import PROBE, WRITE_LIMIT
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import GATHERED
from mongoq.worker.limits.freed import hand_over
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.prefetch import Prefetch
from mongoq.worker.stages import Completion, Wake
from mongoq.worker.verdicts import concerns_content, ending_of

log = logging.getLogger("mongoq.worker")

BATCH: Final = 1_000
LONGEST_GATHERING: Final = 0.05
SHORTEST_GATHERING: Final = 0.005
"""Seconds. Endings that come faster gather while those before them are written."""
TELL_EVERY: Final = 10.0
"""Seconds between two log lines about one cause: a user that is gone made 561 lines in 20 s."""

Instead = Callable[[Completion, MongoqError], Verdict]
"""Decides what becomes of a task whose ending was refused with the change or the result that came with it."""


def tell_lost(runtime: Runtime, attempt: LiveAttempt) -> None:
    """Say that a lease was lost, in the log and as an event."""
    log.warning("the lease on task %s was lost: whatever its handler does is not recorded", attempt.key)
    runtime.telemetry.emit(Signpost.LEASE_LOST, key=attempt.key, task=attempt.task)


class Finisher:
    """The service that writes endings."""

    def __init__(self, runtime: Runtime, prefetch: Prefetch, instead: Instead) -> None:
        self._runtime = runtime
        self._ledger = runtime.ledger
        self._prefetch = prefetch
        self._instead = instead
        self._gathering_since = 0.0
        self._untold: dict[str, tuple[str, int]] = {}
        """What was kept and not logged yet, by its cause: the first key, and how many there are."""
        self._told_at: dict[str, float] = {}

    def step(self, now: float) -> float | None:
        """Write what has gathered. An ending whose write fails is kept and written again, as long as it takes.

        Where the server does not answer, all that are not written are first again. What is wrong with one alone
        (it is refused, or an open transaction holds its task) keeps none of the others waiting for long.
        """
        ledger = self._ledger
        if ledger.fresh and (rest := self._rest(now)):
            self._runtime.wake(Wake.ROOM)
            return rest
        batch = ledger.take(BATCH)
        try:
            if batch:
                self._runtime.wake(Wake.ROOM)
                self._write_all(batch)
        finally:
            ledger.give_back()
            self._tell_kept()
        self._write_all(ledger.kept_due(self._runtime.elapsed()), again=True)
        return ledger.write_after(self._runtime.elapsed())

    @property
    def gather_for(self) -> float:
        """How many seconds endings may be held back for others: the mean run time of a handler.

        0 when no handler runs, so that the last task of a burst is not delayed. A crash then re-runs no more work
        than it would anyway.
        """
        return self._prefetch.pace if self._ledger.active and not self._ledger.stopping else 0.0

    def _rest(self, now: float) -> float:
        """For how many seconds the endings that wait may go on waiting for others; 0 where they are written now.

        A write costs this process and the server as much as 30 endings in it do. With two children that compute for
        20 ms and endings written one by one, a sixth of two cores went into it.
        """
        ledger = self._ledger
        time = min(LONGEST_GATHERING, self.gather_for) if ledger.fresh < GATHERED else 0.0
        if not ledger.gathering:
            ledger.gathering = True
            self._gathering_since = now
        rest = self._gathering_since + time - now
        if time >= SHORTEST_GATHERING and rest > 0:
            return rest
        ledger.gathering = False
        return 0.0

    def _write_all(self, endings: list[Completion], *, again: bool = False) -> None:
        endings = self._writable(endings)
        changing = [ending for ending in endings if ending.changes]
        plain = [ending for ending in endings if ending not in changing] if changing else endings
        try:
            self._write(plain, again=again)
        except StorageRefused:
            # One of them is the cause: alone, each of the others still gets written.
            for ending in plain:
                self._write_alone(ending, again=again)
        # Each may take its time: of those tried again one, then what is new comes first.
        for ending in changing[:1] if again else changing:
            self._write_alone(ending, again=again)

    def _writable(self, endings: list[Completion]) -> list[Completion]:
        """Those that no transaction of their handler's own holds up; the others are kept until it has ended.

        It is still open where the handler was given up in its middle: a thread behind a cancelled coroutine, a child
        that was killed.
        """
        if not any(ending.attempt.in_transaction for ending in endings):
            return endings
        writable = []
        for ending in endings:
            if not ending.attempt.in_transaction:
                writable.append(ending)
            elif ending.attempt.committed:  # it completed the task after all
                self._decided([ending], [])
            else:
                self._keep(ending, "its handler's own transaction is still open")
        return writable

    def _write(self, endings: list[Completion], *, again: bool = False) -> None:
        """Write these together, and keep what somebody's open transaction holds."""
        if not endings:
            return
        now = self._runtime.elapsed()
        ended = [ending_of(one, verdict, now) for one, verdict in endings]
        finished: Finished = self._runtime.run(finish(self._runtime.context, ended, again=again, hands_over=True))
        if finished.blocked:
            blocked = {(one.task.key, one.token) for one in finished.blocked}
            for ending in endings:
                if (ending.attempt.key, ending.attempt.token) in blocked:
                    self._keep(ending, "somebody's open transaction holds it")
            endings = [one for one in endings if (one.attempt.key, one.attempt.token) not in blocked]
            if not endings:
                return
        refused = {(lost.task.key, lost.token) for lost in finished.lost}
        lost = [a for a, _ in endings if (a.key, a.token) in refused] if refused else []
        hand_over(self._runtime, [slot for attempt, _ in endings for slot in attempt.slots])
        self._tell_written(endings, refused)
        self._decided(endings, lost)
        if finished.released:
            self._runtime.wake(Wake.WORK if len(self._ledger) else Wake.NEWS)
        elif any(one.frees for one in ended):
            self._runtime.wake(Wake.WORK)  # others of the limit may be ready now

    def _write_alone(self, ending: Completion, *, again: bool) -> None:
        try:
            if ending.changes:
                self._write_with_changes(ending, PROBE if again else WRITE_LIMIT)
            else:
                self._write([ending], again=again)
        except StorageRefused as error:
            if concerns_content(error):
                self._write_failure(ending, error)
            else:
                self._keep(ending, str(error))
        except StorageUnavailable as error:
            if error.code != WRITE_CONFLICT:
                raise
            self._keep(ending, "somebody's open transaction holds what it changes")

    def _write_with_changes(self, ending: Completion, patience: timedelta) -> None:
        """Write an ending and its modification in one transaction; where that is refused, what then becomes of it."""
        ended = ending_of(*ending, self._runtime.elapsed())
        try:
            done = self._runtime.run(finish_and_modify(self._runtime.context, ended, time_limit=patience))
        except (DependencyError, InvalidTask, StorageRefused) as error:
            if isinstance(error, StorageRefused) and not concerns_content(error):
                self._keep(ending, str(error))
                return
            self._write_instead(ending, error)
            return
        if done:
            self._tell_written([ending])
        self._decided([ending], [] if done else [ending.attempt])

    def _write_instead(self, ending: Completion, error: MongoqError) -> None:
        """Write what becomes of a task whose change was refused; where only what follows it was, its ending without."""
        attempt, verdict = ending
        if verdict.modification is None:
            log.error("task %s: what was to follow its end is left out: %s", attempt.key, error)
            self._write([ending])
            return
        instead = Completion(attempt, self._instead(ending, error))
        if instead.changes:
            self._write_with_changes(instead, WRITE_LIMIT)
        else:
            self._write([instead])

    def _write_failure(self, ending: Completion, error: StorageRefused) -> None:
        """Write a failure in place of an ending that no time will make fit into its document."""
        attempt = ending.attempt
        instead = self._instead(ending, InvalidTask(f"its ending cannot be stored: {error}"))
        try:
            self._write([Completion(attempt, instead)])
        except StorageRefused:
            # Nothing can be written to it: the rescue sets it aside.
            log.warning("the ending of task %s cannot be written (%s): its lease will run out", attempt.key, error)
            self._decided([ending], [])

    def _keep(self, ending: Completion, why: str) -> None:
        if self._ledger.keep(ending, self._runtime.elapsed()):
            first, count = self._untold.get(why, (ending.attempt.key, 0))
            self._untold[why] = first, count + 1

    def _tell_kept(self) -> None:
        """Log what was kept: one line for each cause, with a count, and no second one for a while."""
        now = self._runtime.elapsed()
        for why, (first, count) in list(self._untold.items()):
            if now - self._told_at.get(why, float("-inf")) >= TELL_EVERY:
                self._told_at[why] = now
                del self._untold[why]
                others = f" and {count - 1} others" if count > 1 else ""
                log.warning("the ending of task %s%s is not written yet (%s): it is tried again", first, others, why)

    def _tell_written(self, endings: list[Completion], refused: Container[tuple[str, str]] = ()) -> None:
        """Tell listeners, before a burst may end by it: a program that ends with it has heard of its last task."""
        if self._runtime.telemetry:
            written = [(a.task, verdict) for a, verdict in endings if (a.key, a.token) not in refused]
            self._runtime.telemetry.emit(Signpost.FINISHED, count=len(written), endings=written)

    def _decided(self, endings: list[Completion], lost: list[LiveAttempt]) -> None:
        self._runtime.tally.ended(endings, lost, self._runtime.context.clock)
        wakes = self._ledger.written(endings, lost)
        for attempt in lost:
            tell_lost(self._runtime, attempt)
        for wake in wakes:
            self._runtime.wake(wake)
