"""The command of a diagnosis: one that only reads, as the server knows it by name.

It belongs to the closed set `commands.Command`. Everything that a queue works with has a command of its own instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """What the server answers to a command that only reads.

    Raises StorageRefused where this user may not ask, or the server does not know the command.
    """

    command: dict[str, Any]
    database: str | None = None
    """The database that is asked; None: that of the tasks."""
    anywhere: bool = False
    """Whether any member may answer; else the primary."""
    timeout: timedelta | None = None
