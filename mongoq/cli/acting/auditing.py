"""Write the acts of the command line to the audit, where the dashboard writes its own."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from mongoq import MongoqError, Queue, StorageRefused
from mongoq.cli.output import note

LONGEST: Final = 500
"""Characters of a value that an act is about."""


@contextmanager
def audited(queue: Queue, act: str, about: Mapping[str, Any]) -> Iterator[Callable[[int], object]]:
    """Write down an act before it is done, and what has come of it; yield what tells how many it has changed so far.

    Each count is written when it is told, so that an act that is killed shows how far it came. Whoever may not write to
    the audit is told so, and acts all the same: at night the act comes first.
    """
    told = {name: str(value)[:LONGEST] for name, value in about.items() if value is not None}
    try:
        entry = queue.audit_begin(act, by=operator(), about=told)
    except StorageRefused as error:
        if not error.no_right:
            raise
        note(f"the audit does not say who did this: {error}")
        yield lambda _: None
        return
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done = count
        queue.audit_count(entry.id, count)

    try:
        yield tell
    except BaseException as error:
        with suppress(MongoqError):  # the first error is the one to be told
            queue.audit_end(entry.id, count=done, error=f"{type(error).__name__}: {error}")
        raise
    queue.audit_end(entry.id, count=done)


def operator() -> str:
    """Who runs this command: `user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
