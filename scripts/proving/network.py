"""The handle on a cluster's network: what may pass, and what gets lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

__all__ = ["Network"]

Then = Literal["close", "hang", "kill", "swallow"]

_PATIENCE: Final = 10.0


class Network:
    """The proxies before the members of a cluster. Its methods return when what they ask for is so."""

    def __init__(self, targets: Sequence[int]) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proving.proxy", *map(str, targets)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C goes to this process, which then closes it
        )
        self.ports: list[int] = json.loads(self._hear())
        """Where the proxies listen, in the order of the members."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def members_are(self, pids: Sequence[int | None]) -> None:
        """Tell which processes the members are; None: it does not run."""
        self._ask({"pids": list(pids)})

    def move(self, member: int, port: int) -> None:
        """Tell that a member listens on another port from now on."""
        self._ask({"move": member, "port": port})

    def cut(self, member: int, *, clients: bool) -> None:
        """Cut a member off from the other members, and from clients or not."""
        self._ask({"cut": member, "clients": clients})

    def heal(self, *members: int) -> None:
        """Let everything from and to these members pass again; what was held is dropped."""
        self._ask({"heal": members})

    def lose_replies(self, count: int, command: str | None = None, *, then: Then = "close") -> None:
        """Lose the replies to the next `count` commands of clients: the server carries them out, nobody learns it.

        Args:
            count: how many; 0 ends it.
            command: those to a command of this name, as the protocol names it (`update`, `findAndModify`,
                `commitTransaction`). None: those to any command that an application sends.
            then: what happens besides: the connection is closed, or it hangs without another word, or the
                member is killed first; or the command itself never arrives, nor anything after it.
        """
        self._ask({"lose": {"count": count, "command": command, "then": then}})

    @property
    def lost(self) -> int:
        """How many replies were lost since `lose_replies`."""
        return self._ask({})

    def close(self) -> None:
        """End the proxies; the members are killed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(_PATIENCE)
        self._process.stdout.close()

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._process.stdin
        with self._asking:
            print(json.dumps(order), file=self._process.stdin, flush=True)
            return int(self._hear())

    def _hear(self) -> str:
        assert self._process.stdout
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError("the network of the cluster has ended")
        return said
