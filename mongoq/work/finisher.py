"""Writes endings in groups, and keeps them until they are written."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from mongoq.clock import elapsed
from mongoq.errors import DependencyError, InvalidTask, MongoqError, StorageRefused
from mongoq.storage.finishing import Ended, finish, finish_and_modify
from mongoq.telemetry import Signpost
from mongoq.verdict import Verdict
from mongoq.work.attempt import LiveAttempt
from mongoq.work.shared import Shared

log = logging.getLogger("mongoq.work")

BATCH: Final = 1_000
LONGEST_GATHERING: Final = 0.05
SHORTEST_GATHERING: Final = 0.005
"""Seconds. Endings that come faster gather while those before them are written."""
GATHERED: Final = 32
"""So many endings are worth a write."""


class Settled(NamedTuple):
    """An attempt whose handler has ended, and what is to be written."""

    attempt: LiveAttempt
    verdict: Verdict


class FinishBuffer:
    """Endings on their way, oldest first. Any thread adds; only the finisher takes and gives back.

    Without a lock: every operation used on the deque is atomic, and handlers queued up for one.
    """

    def __init__(self) -> None:
        self._waiting: deque[Settled] = deque()

    def __len__(self) -> int:
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


class Finisher:
    """The service that writes endings."""

    def __init__(
        self,
        shared: Shared,
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

    @property
    def gathering(self) -> bool:
        """Whether what waits is written soon anyway: no need to be woken for one more."""
        return self._gathering_since is not None and len(self._buffer) < GATHERED

    def step(self) -> float | None:
        """Write what has gathered. An ending whose write fails is kept and written again."""
        if not len(self._buffer):
            return None
        if rest := self._rest():
            self._taken()
            return rest
        endings = self._buffer.take(BATCH)
        self._taken()
        plain = [ending for ending in endings if ending.verdict.modification is None]
        if plain:
            self._write_plain(plain, later=endings)
        if len(plain) < len(endings):
            self._write_singly([ending for ending in endings if ending.verdict.modification is not None])
        return 0 if len(self._buffer) else None

    def _rest(self) -> float:
        """For how many seconds the endings that wait may go on waiting for others; 0 where they are written now.

        A write costs this process and the server as much as 30 endings in it do. With two children that compute for
        20 ms and endings written one by one, a sixth of two cores went into it.
        """
        time = min(LONGEST_GATHERING, self._gather_for()) if len(self._buffer) < GATHERED else 0.0
        now = elapsed()
        if self._gathering_since is None:
            self._gathering_since = now
        rest = self._gathering_since + time - now
        if time >= SHORTEST_GATHERING and rest > 0:
            return rest
        self._gathering_since = None
        return 0.0

    def _write_plain(self, endings: list[Settled], later: list[Settled]) -> None:
        """Write these together; where that fails for now, all of `later` that is not written is kept."""
        try:
            self._write(endings)
        except StorageRefused:
            # One of them is the cause: alone, each of the others still gets written.
            try:
                self._write_singly(endings)
            except BaseException:
                self._buffer.give_back([ending for ending in later if ending.verdict.modification is not None])
                raise
        except BaseException:
            self._buffer.give_back(later)
            raise

    def _write(self, endings: list[Settled]) -> None:
        ended = [Ended(attempt.task, verdict) for attempt, verdict in endings]
        refused = {(lost.task.key, lost.token) for lost in self._shared.run(finish(self._shared.context, ended))}
        lost = [a for a, _ in endings if (a.key, a.token) in refused] if refused else []
        self._written(endings, lost)
        if self._shared.telemetry:
            written = [(a.task, verdict) for a, verdict in endings if (a.task.key, a.task.token) not in refused]
            self._shared.telemetry.emit(Signpost.FINISHED, count=len(written), endings=written)

    def _write_singly(self, endings: list[Settled]) -> None:
        for index, ending in enumerate(endings):
            try:
                if ending.verdict.modification is None:
                    self._write([ending])
                else:
                    self._write_with_changes(ending)
            except StorageRefused as error:
                key = ending.attempt.key
                log.warning("the ending of task %s cannot be written (%s): its lease will run out", key, error)
                self._written([ending], [])
            except BaseException:
                self._buffer.give_back(endings[index:])
                raise

    def _write_with_changes(self, ending: Settled) -> None:
        """Write an ending and its modification in one transaction; where that is refused, what then becomes of it."""
        attempt, verdict = ending
        try:
            done = self._shared.run(finish_and_modify(self._shared.context, Ended(attempt.task, verdict)))
        except (DependencyError, InvalidTask, StorageRefused) as error:
            self._write([Settled(attempt, self._refused(attempt, verdict, error))])
            return
        self._written([ending], [] if done else [attempt])
        if done and self._shared.telemetry:
            self._shared.telemetry.emit(Signpost.FINISHED, count=1, endings=[(attempt.task, verdict)])
