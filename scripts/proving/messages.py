"""As much of MongoDB's wire protocol as it takes to tell messages apart: their frames, and an OP_MSG's command."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["HANDSHAKES", "Framer", "command_of", "ids_of"]

HANDSHAKES: Final = frozenset({"hello", "isMaster", "ismaster", "ping", "buildInfo", "saslStart", "saslContinue"})
"""Commands that the driver sends on its own account."""

_OP_MSG: Final = 2013
_NAME: Final = 26
"""Where the name of the first field begins: 16 bytes of header, 4 of flags, section kind, length, type."""


class Framer:
    """Cuts a stream of bytes into whole messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the messages that are complete with `data`."""
        data = self._rest + data
        begin = 0
        while len(data) - begin >= 4:
            (size,) = struct.unpack_from("<i", data, begin)
            if len(data) - begin < size:
                break
            yield data[begin : begin + size]
            begin += size
        self._rest = data[begin:]


def ids_of(message: bytes) -> tuple[int, int]:
    """The message's own id, and the id of the request that it answers."""
    request, response = struct.unpack_from("<ii", message, 4)
    return request, response


def command_of(message: bytes) -> str | None:
    """The name of the command of an OP_MSG whose first section is its body, as drivers send it."""
    if struct.unpack_from("<i", message, 12)[0] != _OP_MSG or message[20:21] != b"\0":
        return None
    return message[_NAME : message.index(b"\0", _NAME)].decode()
