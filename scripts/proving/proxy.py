"""The network of a cluster: one process with a TCP proxy before each member. `network.Network` starts it.

Members know each other, and clients know them, by the addresses of their proxies alone. A connection's two
ends are known: its target is the member behind the proxy, its source is the process that holds the other end
of the socket (/proc says which), a member or else a client. So a member can be cut off from the others, with or
without its clients. A cut resets nothing: bytes are swallowed, a close is not passed on, a new connection is
accepted and never answered. Healing drops the connections that were held.

It is told what to do by lines of JSON on stdin and answers each with a line. At the end of stdin, however its
owner went, it kills the members.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from proving.messages import HANDSHAKES, Framer, command_of, ids_of
from proving.sockets import holds, inode_of

CLIENT: Final = -1
"""The source of a connection that no member opened."""


@dataclass
class Losing:
    """Which replies are to be lost, and what happens then."""

    count: int = 0
    command: str | None = None
    then: str = "close"
    lost: int = 0

    def wants(self, request: bytes) -> bool:
        """Whether the reply to this request is one of them."""
        name = command_of(request) if self.count else None
        if name is None or name in HANDSHAKES or self.command not in (None, name):
            return False
        self.count -= 1
        return True


class Network:
    """All proxies, and the faults that hold just now."""

    def __init__(self, targets: list[int]) -> None:
        self.targets = targets
        self.pids: list[int | None] = [None] * len(targets)
        self.cut: dict[int, bool] = {}
        """The members that are cut off, and whether their clients are, too."""
        self.losing = Losing()
        self.pairs: set[Pair] = set()

    def blocked(self, source: int, target: int) -> bool:
        """Whether nothing passes between these two. Nobody is ever cut off from itself."""
        if not self.cut or source == target:
            return False
        if source == CLIENT:
            return self.cut.get(target, False)
        return source in self.cut or target in self.cut

    def source_of(self, transport: asyncio.Transport) -> int:
        """Who holds the other end of a connection: the member whose process it is, or a client."""
        inode = inode_of(transport.get_extra_info("peername")[1], transport.get_extra_info("sockname")[1])
        return next((i for i, pid in enumerate(self.pids) if pid and inode and holds(pid, inode)), CLIENT)

    def heal(self, members: list[int]) -> None:
        """Let everything pass again and drop what was held."""
        held = [pair for pair in self.pairs if self.blocked(pair.source, pair.target)]
        for member in members:
            self.cut.pop(member, None)
        for pair in held:
            if not self.blocked(pair.source, pair.target):
                pair.abort()

    def lost(self, target: int) -> None:
        """Do what was ordered for a reply that has just been lost."""
        self.losing.lost += 1
        pid = self.pids[target]
        if self.losing.then == "kill" and pid:
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill every member."""
        for pid in filter(None, self.pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Pair:
    """A connection to a proxy and the one behind it."""

    def __init__(self, network: Network, target: int) -> None:
        self.network = network
        self.target = target
        self.source = CLIENT
        self.near = End(self, self._request)
        self.far = End(self, self._reply)
        self._requests, self._replies = Framer(), Framer()
        self._losing: set[int] = set()
        self._silent = False
        self._connecting: asyncio.Task[None] | None = None

    def open(self, transport: asyncio.Transport) -> None:
        """Find out who it is and connect them, unless they are cut off from each other."""
        self.network.pairs.add(self)
        self.source = self.network.source_of(transport)
        if not self.blocked:
            transport.pause_reading()
            self._connecting = asyncio.get_running_loop().create_task(self._connect(transport))

    async def _connect(self, near: asyncio.Transport) -> None:
        port = self.network.targets[self.target]
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, "127.0.0.1", port)
        except OSError:
            self.abort()
        else:
            if not near.is_closing():
                near.resume_reading()

    @property
    def blocked(self) -> bool:
        """Whether its bytes are swallowed."""
        return self.network.blocked(self.source, self.target)

    def _request(self, data: bytes) -> None:
        if self.source != CLIENT:
            self.far.write(data)
            return
        for message in self._requests.feed(data):
            if not self._silent and self.network.losing.wants(message):
                self._losing.add(ids_of(message)[0])
                self._silent = self.network.losing.then == "swallow"
                self.network.losing.lost += self._silent
            if not self._silent:
                self.far.write(message)

    def _reply(self, data: bytes) -> None:
        if self.source != CLIENT:
            self.near.write(data)
            return
        for message in self._replies.feed(data):
            if ids_of(message)[1] not in self._losing:
                self.near.write(message)
                continue
            self.network.lost(self.target)
            if self.network.losing.then != "hang":
                self.abort()
                return

    def closed(self) -> None:
        """Pass a close on, unless they are cut off from each other."""
        if not self.blocked:
            self.abort()

    def abort(self) -> None:
        """Drop both connections."""
        self.network.pairs.discard(self)
        for end in (self.near, self.far):
            end.abort()


class End(asyncio.Protocol):
    """One of the two connections."""

    def __init__(self, pair: Pair, receive: Callable[[bytes], None]) -> None:
        self._pair = pair
        self._receive = receive
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or give up where the other end has gone meanwhile."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self is self._pair.near:
            self._pair.open(transport)
        elif self._pair not in self._pair.network.pairs:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass it on, or swallow it."""
        if not self._pair.blocked:
            self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's interface
        """Pass it on, or keep it to itself."""
        self._pair.closed()

    def write(self, data: bytes) -> None:
        """Send `data`."""
        if self._transport:
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport:
            self._transport.abort()


def _obey(network: Network, order: dict[str, Any]) -> int:
    match order:
        case {"pids": pids}:
            network.pids = pids
        case {"move": member, "port": port}:
            network.targets[member] = port
        case {"cut": member, "clients": clients}:
            network.cut[member] = clients
        case {"heal": members}:
            network.heal(members)
        case {"lose": losing}:
            network.losing = Losing(**losing)
    return network.losing.lost


async def main() -> None:
    """Open a proxy for each port that is named, say where they listen, then take orders."""
    network = Network([int(port) for port in sys.argv[1:]])
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda target=target: Pair(network, target).near, "127.0.0.1", 0)  # type: ignore[misc]
        for target in range(len(network.targets))
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    try:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(_obey(network, json.loads(line)), flush=True)
    finally:
        network.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # stdin says when it is over
    asyncio.run(main())
