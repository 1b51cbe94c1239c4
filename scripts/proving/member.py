"""One member of a cluster: a real mongod behind its proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from proving.network import Network

__all__ = ["NAME", "Member", "free_port"]

NAME = "proving"
"""The name of the replica set."""


_TAKEN = "Address already in use"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now; another process may take it at any time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Member:
    """A mongod that can be killed, frozen and cut off, in any order and combination."""

    def __init__(
        self,
        index: int,
        port: int,
        *,
        mongod: Path,
        folder: Path,
        network: Network,
        parameters: Mapping[str, Any],
        changed: Callable[[], None],
    ) -> None:
        self.index = index
        self.port = port
        """Where it really listens: past the proxy, so reachable whatever is cut."""
        self.address = f"127.0.0.1:{network.ports[index]}"
        """How the other members and all clients know it: its proxy."""
        self.frozen = False
        self.isolated = False
        self._folder = folder
        self._network = network
        self._parameters = parameters
        self._changed = changed
        self._mongod = mongod
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._client: pymongo.MongoClient[dict[str, Any]] | None = None

    def __repr__(self) -> str:
        return f"Member({self.index}, {self.address})"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, **environment: str) -> None:
        """Start it where it does not run, with its data of before."""
        if self.pid:
            return
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "mongod.log").open("ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self.frozen = False
        self._changed()

    @property
    def lost_its_port(self) -> bool:
        """Whether its last start ended because another process listens on its port."""
        if self._process is None or self._process.poll() is None:
            return False
        return _TAKEN in (self._folder / "mongod.log").read_bytes()[self._log_start :].decode(errors="replace")

    def move(self, port: int) -> None:
        """Start it on another port. Its proxy, and with it the address that others know, stays."""
        if self._client:
            self._client.close()
            self._client = None
        self.port = port
        self._network.move(self.index, port)
        self.start()

    def kill(self) -> None:
        """SIGKILL it: no word to anybody, its connections are reset."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._changed()

    def freeze(self) -> None:
        """SIGSTOP it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    def cut(self, *, clients: bool = True) -> None:
        """Cut it off from the other members and, unless `clients` is False, from all clients."""
        self._network.cut(self.index, clients=clients)
        self.isolated = True

    def heal(self) -> None:
        """Join it to the others again."""
        self._network.heal(self.index)
        self.isolated = False

    @property
    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        """A client of this member alone, past its proxy."""
        if self._client is None:
            self._client = pymongo.MongoClient(
                "127.0.0.1",
                self.port,
                directConnection=True,
                serverSelectionTimeoutMS=2000,
                connectTimeoutMS=1000,
                socketTimeoutMS=5000,
            )
        return self._client

    def ask(self, command: str, value: Any = 1, **options: Any) -> dict[str, Any]:
        """Run an admin command on it, past its proxy."""
        return self.client.admin.command(command, value, **options)

    @property
    def is_primary(self) -> bool:
        """Whether it takes writes that count: a frozen one or one that is cut off does not."""
        if self.frozen or self.isolated or not self.pid:
            return False
        try:
            return bool(self.ask("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def log(self) -> str:
        """What it logged."""
        return (self._folder / "mongod.log").read_text(errors="replace")

    def close(self) -> None:
        """Kill it and close what talks to it."""
        if self._client:
            self._client.close()  # while it can still answer
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, number)

    def _command(self) -> list[str]:
        parameters = {
            "minSnapshotHistoryWindowInSeconds": 0,
            "diagnosticDataCollectionEnabled": "false",
            # Seconds until a member leaves a source that says nothing; 5 and 2 by default, scaled like the election.
            "oplogNetworkTimeoutBufferSeconds": 1,
            "oplogRetriedFindMaxSeconds": 1,
            **self._parameters,
        }
        command = [str(self._mongod), "--replSet", NAME, "--dbpath", str(self._folder), "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256"]
        command += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=32MB)"]
        for name, value in parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        return command
