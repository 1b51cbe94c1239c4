"""The transactions of handlers, as a worker that stops sees them: it has the server abort what is still open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mongoq.storage.commands import Op
from mongoq.storage.control import KillSessions

LIMIT: Final = timedelta(seconds=1)


def end(session_ids: Sequence[bytes]) -> Op[None]:
    """Abort the transactions of these sessions, whoever is in the middle of them: their next command is refused."""
    yield KillSessions(session_ids, LIMIT)
