"""Writes endings in groups, and keeps them until they are written."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.clock import elapsed
from mongoq.core.errors import DependencyError, InvalidTask, MongoqError, StorageRefused, StorageUnavailable
from mongoq.core.events import Signpost
from mongoq.core.verdict import Verdict
from mongoq.storage.drivers.errors import WRITE_CONFLICT
from mongoq.storage.operations.finish import Ended, Finished, finish, finish_and_modify
from mongoq.storage.operations.malformed import UNFIT
from mongoq.storage.operations.skip_locked import PROBE, WRITE_LIMIT
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.loop import PAUSE

log = logging.getLogger("mongoq.worker")

BATCH: Final = 1_000
LONGEST_GATHERING: Final = 0.05
SHORTEST_GATHERING: Final = 0.005
"""Seconds. Endings that come faster gather while those before them are written."""
GATHERED: Final = 32
"""So many endings are worth a write."""
HURRIED_PAUSE: Final = 0.05


class Settled(NamedTuple):
    """An attempt whose handler has ended, and what is to be written."""

    attempt: LiveAttempt
    verdict: Verdict


class Kept(NamedTuple):
    """An ending that could not be written for a reason of its own, and when it is tried again, on `elapsed()`."""

    ending: Settled
    tries: int
    due: float


class FinishBuffer:
    """Endings on their way, oldest first. Any thread adds; only the finisher takes, gives back and keeps.

    Without a lock: every operation used on the deque is atomic, and handlers queued up for one.
    """

    def __init__(self) -> None:
        self._waiting: deque[Settled] = deque()
        self._kept: dict[LiveAttempt, Kept] = {}
        self._hurried = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._kept)

    @property
    def fresh(self) -> int:
        """How many have not been tried yet, or are to be tried before all others."""
        return len(self._waiting)

    def add(self, attempt: LiveAttempt, verdict: Verdict) -> None:
        """Leave an ending to be written."""
        self._waiting.append(Settled(attempt, verdict))

    def take(self, most: int) -> list[Settled]:
        """Take the oldest endings out."""
        taken: list[Settled] = []
        while len(taken) < most and self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def give_back(self, endings: list[Settled]) -> None:
        """Put back what could not be written, to be written first."""
        self._waiting.extendleft(reversed(endings))

    def keep(self, ending: Settled) -> bool:
        """Keep an ending apart from the others, to be tried again after a pause that grows; whether it is new here."""
        before = self._kept.get(ending.attempt)
        tries = 1 if before is None else before.tries + 1
        self._kept[ending.attempt] = Kept(ending, tries, elapsed() + PAUSE.delay(tries).total_seconds())
        return before is None

    def due(self, now: float) -> list[Settled]:
        """Those kept that are to be tried again; they stay kept until `forget`."""
        return [kept.ending for kept in self._kept.values() if self._hurried or kept.due <= now]

    def forget(self, endings: list[Settled]) -> None:
        """Keep these no more."""
        for ending in endings:
            self._kept.pop(ending.attempt, None)

    def pause(self, now: float) -> float | None:
        """Seconds until there is something to write; None where there is nothing."""
        if self._waiting:
            return 0
        if not self._kept:
            return None
        wait = max(0.0, min(kept.due for kept in self._kept.values()) - now)
        return min(HURRIED_PAUSE, wait) if self._hurried else wait

    def hurry(self) -> None:
        """Let those kept be tried as often as makes sense from now on: there is not much time left."""
        self._hurried = True


class Finisher:
    """The service that writes endings."""

    def __init__(
        self,
        shared: Runtime,
        buffer: FinishBuffer,
        *,
        gather_for: Callable[[], float],
        taken: Callable[[], None],
        written: Callable[[list[Settled], list[LiveAttempt]], None],
        refused: Callable[[LiveAttempt, Verdict, MongoqError], Verdict],
    ) -> None:
        self._shared = shared
        self._buffer = buffer
        self._gather_for = gather_for
        self._taken = taken
        self._written = written
        self._refused = refused
        self._gathering_since: float | None = None
        self._left: dict[LiveAttempt, Settled] = {}
        """Those taken of which it is not known what became of them."""

    @property
    def gathering(self) -> bool:
        """Whether what waits is written soon anyway: no need to be woken for one more."""
        return self._gathering_since is not None and self._buffer.fresh < GATHERED

    def step(self) -> float | None:
        """Write what has gathered. An ending whose write fails is kept and written again, as long as it takes.

        Where the server does not answer, all that are not written are first again. What is wrong with one alone
        (it is refused, or an open transaction holds its task) keeps none of the others waiting for long.
        """
        if self._buffer.fresh and (rest := self._rest()):
            self._taken()
            return rest
        self._left = {ending.attempt: ending for ending in self._buffer.take(BATCH)}
        try:
            if self._left:
                self._taken()
                self._write_all(list(self._left.values()))
        finally:
            self._buffer.give_back(list(self._left.values()))
        self._write_all(self._buffer.due(elapsed()), again=True)
        return self._buffer.pause(elapsed())

    def _rest(self) -> float:
        """For how many seconds the endings that wait may go on waiting for others; 0 where they are written now.

        A write costs this process and the server as much as 30 endings in it do. With two children that compute for
        20 ms and endings written one by one, a sixth of two cores went into it.
        """
        time = min(LONGEST_GATHERING, self._gather_for()) if self._buffer.fresh < GATHERED else 0.0
        now = elapsed()
        if self._gathering_since is None:
            self._gathering_since = now
        rest = self._gathering_since + time - now
        if time >= SHORTEST_GATHERING and rest > 0:
            return rest
        self._gathering_since = None
        return 0.0

    def _write_all(self, endings: list[Settled], *, again: bool = False) -> None:
        endings = self._writable(endings)
        plain = [ending for ending in endings if ending.verdict.modification is None]
        try:
            self._write(plain, again=again)
        except StorageRefused:
            # One of them is the cause: alone, each of the others still gets written.
            for ending in plain:
                self._write_alone(ending, again=again)
        changing = [ending for ending in endings if ending.verdict.modification is not None]
        # Each may take its time: of those tried again one, then what is new comes first.
        for ending in changing[:1] if again else changing:
            self._write_alone(ending, again=again)

    def _writable(self, endings: list[Settled]) -> list[Settled]:
        """Those that no transaction of their handler's own holds up; the others are kept until it has ended.

        It is still open where the handler was given up in its middle: a thread behind a cancelled coroutine, a child
        that was killed.
        """
        if not any(ending.attempt.apart for ending in endings):
            return endings
        writable = []
        for ending in endings:
            if not ending.attempt.apart:
                writable.append(ending)
            elif ending.attempt.committed:  # it completed the task after all
                self._decided([ending], [])
            else:
                self._keep(ending, "its handler's own transaction is still open")
        return writable

    def _write(self, endings: list[Settled], *, again: bool = False) -> None:
        """Write these together, and keep what somebody's open transaction holds."""
        if not endings:
            return
        ended = [Ended(attempt.task, verdict) for attempt, verdict in endings]
        finished: Finished = self._shared.run(finish(self._shared.context, ended, again=again))
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
        self._decided(endings, lost)
        if self._shared.telemetry:
            written = [(a.task, verdict) for a, verdict in endings if (a.key, a.token) not in refused]
            self._shared.telemetry.emit(Signpost.FINISHED, count=len(written), endings=written)

    def _write_alone(self, ending: Settled, *, again: bool) -> None:
        try:
            if ending.verdict.modification is None:
                self._write([ending], again=again)
            else:
                self._write_with_changes(ending, PROBE if again else WRITE_LIMIT)
        except StorageRefused as error:
            if error.code is None or error.code in UNFIT:
                self._write_failure(ending, error)
            else:
                self._keep(ending, str(error))
        except StorageUnavailable as error:
            if error.code != WRITE_CONFLICT:
                raise
            self._keep(ending, "somebody's open transaction holds what it changes")

    def _write_with_changes(self, ending: Settled, patience: timedelta) -> None:
        """Write an ending and its modification in one transaction; where that is refused, what then becomes of it."""
        attempt, verdict = ending
        try:
            operation = finish_and_modify(self._shared.context, Ended(attempt.task, verdict), patience=patience)
            done = self._shared.run(operation)
        except (DependencyError, InvalidTask, StorageRefused) as error:
            self._write([Settled(attempt, self._refused(attempt, verdict, error))])
            return
        self._decided([ending], [] if done else [attempt])
        if done and self._shared.telemetry:
            self._shared.telemetry.emit(Signpost.FINISHED, count=1, endings=[(attempt.task, verdict)])

    def _write_failure(self, ending: Settled, error: StorageRefused) -> None:
        """Write a failure in place of an ending that no time will make fit into its document."""
        attempt, verdict = ending
        instead = self._refused(attempt, verdict, InvalidTask(f"its ending cannot be stored: {error}"))
        try:
            self._write([Settled(attempt, instead)])
        except StorageRefused:
            # Nothing can be written to it: the rescue sets it aside.
            log.warning("the ending of task %s cannot be written (%s): its lease will run out", attempt.key, error)
            self._decided([ending], [])

    def _keep(self, ending: Settled, why: str) -> None:
        self._left.pop(ending.attempt, None)
        if self._buffer.keep(ending):
            log.warning("the ending of task %s is not written yet (%s): it is tried again", ending.attempt.key, why)

    def _decided(self, endings: list[Settled], lost: list[LiveAttempt]) -> None:
        for ending in endings:
            self._left.pop(ending.attempt, None)
        self._buffer.forget(endings)
        self._written(endings, lost)
