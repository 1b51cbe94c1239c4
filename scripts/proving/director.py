"""Plays a schedule of faults on a crew and a cluster, and writes down when each began and was over."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from proving.cluster import Cluster
from proving.crew import EXECUTORS, Crew
from proving.journal import Journal
from proving.member import Member
from proving.schedule import SERVERS, WORKERS, Fault, faults

BETWEEN_WORKERS: Final = (0.5, 2.5)
BETWEEN_SERVERS: Final = (5.0, 12.0)
NEW_PRIMARY: Final = 60.0


class Director:
    """Two sequences of faults at once: one of the workers, one of the servers, of which one at a time is harmed."""

    def __init__(self, cluster: Cluster, crew: Crew, journal: Journal, seed: int) -> None:
        self._cluster = cluster
        self._crew = crew
        self._journal = journal
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        workers = faults(seed, WORKERS, BETWEEN_WORKERS, len(EXECUTORS))
        servers = faults(seed, SERVERS, BETWEEN_SERVERS)
        self._threads = [
            threading.Thread(target=self._play, args=(workers, self._harm_worker), name="worker faults"),
            threading.Thread(target=self._play, args=(servers, self._harm_server), name="server faults"),
        ]

    def play(self, seconds: float) -> None:
        """Do harm for so long; the last faults are over when it returns."""
        for thread in self._threads:
            thread.start()
        try:
            self._over.wait(seconds)
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
        if self._failed:
            raise self._failed[0]

    def _play(self, sequence: Iterator[Fault], harm: Callable[[Fault], None]) -> None:
        try:
            for fault in sequence:
                if self._over.wait(fault.pause):
                    return
                harm(fault)
        except BaseException as error:  # noqa: BLE001 -- told by `play`
            self._failed.append(error)
            self._over.set()

    def _harm_worker(self, fault: Fault) -> None:
        signals = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "freeze": signal.SIGSTOP}
        name = self._crew.signal(fault.target, signals[fault.kind])
        self._journal.write("fault", kind=fault.kind, target=name)
        if fault.kind == "freeze":
            self._over.wait(fault.seconds)
            self._crew.let_on(name)
        self._journal.write("over", kind=fault.kind, target=name)

    def _harm_server(self, fault: Fault) -> None:
        victim = self._victim(fault)
        told = {"kind": fault.kind, "target": str(victim.index)}
        self._journal.write("fault", **told)
        if fault.kind == "step down":
            with suppress(LookupError):  # it has just stepped down by itself
                self._cluster.step_down()
        else:
            harm, undo = _harms(victim)[fault.kind.partition(" ")[0]]
            harm()
            self._over.wait(fault.seconds)
            undo()
        self._primary()
        self._journal.write("over", **told)

    def _victim(self, fault: Fault) -> Member:
        primary = self._primary()
        if fault.kind == "kill secondary":
            return next(member for member in self._cluster.members if member is not primary)
        return primary

    def _primary(self) -> Member:
        """Wait for a primary, also where one goes again while it is looked at."""
        deadline = time.monotonic() + NEW_PRIMARY
        while True:
            try:
                return self._cluster.wait_for_primary(max(0.0, deadline - time.monotonic()))
            except LookupError:
                continue


def _harms(member: Member) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """What can be done to a member, and how it is undone."""
    return {
        "kill": (member.kill, member.start),
        "freeze": (member.freeze, member.thaw),
        "cut": (member.cut, member.heal),
        "isolate": (partial(member.cut, clients=False), member.heal),
    }
