"""Decides what follows from news of a task: who of the watchers tries it, and how many sleepers are called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from mongoq.core import fleet
from mongoq.core.events import Signpost
from mongoq.core.fleet import Idle, Signal, SignalKind
from mongoq.core.requests import MOST_CLAIMED
from mongoq.storage.operations.fleet import signals
from mongoq.storage.operations.namespace.heads import heads
from mongoq.storage.operations.watch import News, ready_count
from mongoq.worker.fleet.view import FleetView
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake

TRIED_WITHIN: Final = 0.01
"""Seconds that the first watcher has for its own claim, before it looks what is left for others."""
TURN: Final = 0.015
"""Seconds by which the next watcher is later, and only where the task is still ready then."""
CALL_TURN: Final = 0.06
"""Seconds by which the next watcher is later to call sleepers, where the first has not called enough of them."""
LOOK_AGAIN: Final = 0.1
LONGEST_PAUSE: Final = 1.0
ROUNDS: Final = 4
"""Looks at tasks that nobody takes: they are held by a transaction, or have tags that nobody here wants."""
FLOOD: Final = 100
"""News of one queue between two looks. Beyond, the stream is closed until all are called or the queue is empty."""


ANY: Final = ""
"""Stands for all queues, where these are many: no queue has this name."""


@dataclass(slots=True)
class Wave:
    """The tasks of one queue that have come of late."""

    due: float
    pause: float = LOOK_AGAIN
    news: int = 0
    taken: int = 0
    rounds: int = 0
    called: set[str] = field(default_factory=set)


class Caller:
    """The service that calls. `calm` is called when a flood is over."""

    def __init__(self, runtime: Runtime, view: FleetView, calm: Callable[[], None], wake: Callable[[], None]) -> None:
        self._runtime = runtime
        self._view = view
        self._calm = calm
        self._wake = wake
        self._lock = threading.Lock()
        self._waves: dict[str, Wave] = {}
        self._after = -1
        """The place of the sleeper that was called last."""

    @property
    def flooded(self) -> bool:
        """Whether so much has come that no more news is wanted."""
        return any(wave.news >= FLOOD for wave in list(self._waves.values()))

    def hear(self, news: News, now: float) -> None:
        """Take news of a ready task: try it, or see later whether somebody does."""
        view, queue = self._view, news.queue
        able = [one.worker for one in view.watchers if one.takes(queue, news.name)]
        mine = view.me.takes(queue, news.name)
        turn = fleet.turn(view.worker, news.key, able)
        if view.others:
            if not mine:
                self._note([str(queue)], now + (TRIED_WITHIN if able else 0) + self._call_turn(str(queue)))
            elif queue is not None:
                self._note([queue], now + (TURN * turn or TRIED_WITHIN))
            else:
                self._note_all(view.queues, now + (TURN * turn or TRIED_WITHIN))
                self._note_all(set(view.all_queues).difference(view.queues), now + TRIED_WITHIN)
        if mine and view.idle and not turn:
            self._runtime.wake(Wake.NEWS)

    def look(self, now: float, *, own: bool = False) -> None:
        """See whether there is work for others: in all queues, or there is more than one claim of this process took."""
        if self._view.sleepers:
            self._note_all(self._view.queues if own else self._view.all_queues, now)

    def took(self, queues: Iterable[str]) -> None:
        """Note tasks that this process has claimed, by their queues."""
        with self._lock:
            for queue in queues if self._waves else ():
                if queue in self._waves:
                    self._waves[queue].taken += 1

    def step(self, now: float) -> float | None:
        """Look at the queues whose time has come; the seconds until the next one's has."""
        with self._lock:
            due = [(queue, wave) for queue, wave in self._waves.items() if wave.due <= now]
        for queue, wave in due:
            if not self._go_on(queue, wave, now):
                with self._lock:
                    self._waves.pop(queue, None)
                if wave.news >= FLOOD:
                    self._calm()
        with self._lock:
            left = [wave.due for wave in self._waves.values()]
        return max(0.0, min(left) - self._runtime.elapsed()) if left else None

    def _note_all(self, queues: Collection[str], due: float) -> None:
        """Note that any of these may have work; of many, those that have are looked up first."""
        self._note(queues if len(queues) <= MOST_CLAIMED else [ANY], due)

    def _note(self, queues: Iterable[str], due: float) -> None:
        sooner = False
        with self._lock:
            for queue in queues:
                wave = self._waves.get(queue)
                if wave is None:
                    wave = self._waves[queue] = Wave(due)
                    sooner = True
                wave.news += 1
        if sooner:
            self._wake()

    def _go_on(self, queue: str, wave: Wave, now: float) -> bool:
        """Call those who are needed for what is ready in a queue; whether to look again later."""
        runtime, view = self._runtime, self._view
        if queue == ANY:
            self._note([head.queue for head in runtime.run(heads(runtime.context, set(view.all_queues)))], now)
            return False
        if wave.taken >= wave.news:
            return False
        own = view.idle and queue in view.queues
        left = called = False
        for names, waiting in self._waiting(queue, wave, own=own).items():
            most = sum(one.workers for one in waiting) + view.workers
            ready = runtime.run(ready_count(runtime.context, queue, names, most))
            mine = own and names == view.names and ready > 0
            if mine:
                left = True
                runtime.wake(Wake.WORK)
            called |= self._call(queue, wave, fleet.chosen(waiting, self._after, ready - view.workers * mine))
        wave.rounds += not called
        wave.due, wave.pause = now + wave.pause, min(LONGEST_PAUSE, wave.pause * 2)
        return called or (left and wave.rounds < ROUNDS)

    def _waiting(self, queue: str, wave: Wave, *, own: bool) -> dict[tuple[str, ...], list[Idle]]:
        """The sleepers that take tasks of a queue and were not called yet, by the names that they know.

        With `own` the names of this process are among them, whoever else knows these.
        """
        found: dict[tuple[str, ...], list[Idle]] = {self._view.names: []} if own else {}
        for one in self._view.sleepers:
            if queue in one.queues and one.worker not in wave.called:
                found.setdefault(one.names, []).append(one)
        return found

    def _call(self, queue: str, wave: Wave, runs: list[list[Idle]]) -> bool:
        runtime = self._runtime
        count = sum(map(len, runs))
        for run in runs:
            self._after = run[-1].place
            wave.called.update(one.worker for one in run)
            signal = Signal(SignalKind.WORK, run[0].place, run[-1].place, (queue,), count)
            runtime.run(signals.send(runtime.context, signal))
            runtime.telemetry.emit(Signpost.CALLED, queue=queue, count=len(run))
        return count > 0

    def _call_turn(self, queue: str) -> float:
        return CALL_TURN * fleet.turn(self._view.worker, queue, [one.worker for one in self._view.watchers])
