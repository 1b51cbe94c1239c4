"""A replica set of real servers on this machine, for trying what happens when one of them does not do its part."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pymongo.errors import OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from mongoq.embedded.server import find_mongod
from proving.member import NAME, Member, free_port
from proving.network import Network

__all__ = ["ELECTION", "Cluster"]

ELECTION: Final = 2.0
"""Seconds without a word from the primary after which the others elect another; 10 by default."""

_START_SECONDS: Final = 60.0
_MOST_MOVES: Final = 5
"""Ports that a cluster gives up before it calls a start failed."""


class Cluster:
    """A replica set whose members, and their clients, reach each other through proxies. A context manager.

    It needs Linux and no root. Everything it starts ends with it, also where this process is killed.
    """

    def __init__(
        self, members: int = 3, folder: Path | None = None, *, parameters: Mapping[str, Any] | None = None
    ) -> None:
        self._own = folder is None
        self._moves = 0
        self.folder = folder or Path(tempfile.mkdtemp(prefix="mongoq-cluster-"))
        ports = [free_port() for _ in range(members)]
        self.network = Network(ports)
        mongod = find_mongod()
        self.members = [
            Member(
                index,
                port,
                mongod=mongod,
                folder=self.folder / f"member-{index}",
                network=self.network,
                parameters=parameters or {},
                changed=self._tell_pids,
            )
            for index, port in enumerate(ports)
        ]
        self.uri = f"mongodb://{','.join(member.address for member in self.members)}/?replicaSet={NAME}"
        """Where clients connect: through the proxies."""

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                member.start()
            self._until(self._initiated, _START_SECONDS, "the set is initiated")
            self.restore()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything and delete its data, unless the folder was given."""
        for member in self.members:
            member.close()
        self.network.close()
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def primary(self) -> Member:
        """The primary that the majority follows. Raises LookupError where there is none just now."""
        found = [member for member in self.members if member.is_primary]
        if len(found) != 1:
            raise LookupError("no primary" if not found else f"{len(found)} primaries")
        return found[0]

    def has_primary(self) -> bool:
        """Whether there is one that the majority follows."""
        return sum(member.is_primary for member in self.members) == 1

    def secondaries(self) -> list[Member]:
        """The members that are not the primary, in whatever state."""
        primary = self.primary()
        return [member for member in self.members if member is not primary]

    def step_down(self, seconds: int = 5) -> Member:
        """Let the primary hand over and return the one that was; it does not stand again for so many seconds."""
        primary = self.primary()
        with suppress(PyMongoError):  # older servers close the connection that asked
            primary.ask("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=seconds, force=True)
        return primary

    def wait_for_primary(self, timeout: float = 30) -> Member:
        """Wait until there is a primary that the majority follows, and return it."""
        self._until(self.has_primary, timeout, "there is a primary")
        return self.primary()

    def restore(self, timeout: float = _START_SECONDS) -> None:
        """Bring everything back: running, thawed, healed, no reply lost, and each member up to its work."""
        self.network.lose_replies(0)
        self.network.heal(*range(len(self.members)))
        for member in self.members:
            member.isolated = False
            member.thaw()
            member.start()
        self._until(self._whole, timeout, "all members are back")

    def _tell_pids(self) -> None:
        self.network.members_are([member.pid for member in self.members])

    def _initiated(self) -> bool:
        members = [{"_id": member.index, "host": member.address} for member in self.members]
        # While its old source is silent, a member of 6.0.5 reports what it has written by its heartbeats alone, for
        # 30 s: a majority write then takes one interval. At 0.5 s that would hide what mongoq itself adds.
        settings = {"electionTimeoutMillis": round(ELECTION * 1000), "heartbeatIntervalMillis": 100}
        config: dict[str, Any] = {"_id": NAME, "members": members, "settings": settings}
        first = self.members[0]
        if self._exchanged_ports():
            return False
        if not all(member.pid for member in self.members):
            raise RuntimeError(f"mongod did not start:\n{self._logs()}")
        try:
            if first.ask("serverStatus")["pid"] != first.pid:
                return False  # another mongod listens there, and this one is about to say so
            first.ask("replSetInitiate", config)
        except OperationFailure as error:
            return error.code == 23  # it was, in this folder
        except PyMongoError:
            return False
        return True

    def _exchanged_ports(self) -> bool:
        """Start the members that found their ports taken on others; whether there were any.

        `free_port` leaves a gap between its look and mongod's start, and a member that is down holds no port.
        """
        found = [member for member in self.members if member.lost_its_port]
        for member in found:
            self._moves += 1
            if self._moves > _MOST_MOVES:
                raise RuntimeError(f"{_MOST_MOVES} ports were taken, one after the other:\n{self._logs()}")
            member.move(free_port())
        return bool(found)

    def _whole(self) -> bool:
        """Whether one member is primary and all the others follow it.

        A write to all of them shows it. Each then has a source: one that looks for a source while the primary
        falls silent asks that one first, for 20 s (measured on 6.0.5).
        """
        self._exchanged_ports()
        concern = WriteConcern(w=len(self.members), wtimeout=1000)
        if not any(member.is_primary for member in self.members):
            with suppress(PyMongoError):  # or they wait for `ELECTION` first
                self.members[0].ask("replSetStepUp")
        try:
            self.primary().client["proving"].get_collection("marks", write_concern=concern).insert_one({})
        except (LookupError, PyMongoError):
            return False
        return True

    def _until(self, holds: Callable[[], bool], timeout: float, why: str) -> None:
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout:g} s, still not so: {why}\n{self._logs()}")
            threading.Event().wait(0.05)

    def _logs(self) -> str:
        return "\n".join(member.log()[-2000:] for member in self.members)
