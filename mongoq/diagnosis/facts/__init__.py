"""What is read for a diagnosis: each fact by bounded looks, and `Unread` for one that could not be read."""

from __future__ import annotations

from mongoq.diagnosis.facts.fleet import (
    Failures,
    Fleet,
    Holder,
    Holders,
    Limits,
    Line,
    Overdue,
    Parked,
    Schedules,
    Waiting,
)
from mongoq.diagnosis.facts.server import (
    Client,
    Foreign,
    Format,
    Host,
    Indexes,
    Members,
    Oplog,
    Parameters,
    Plan,
    Plans,
    Rights,
    Server,
    Unread,
)

__all__ = [
    "Client",
    "Failures",
    "Fleet",
    "Foreign",
    "Format",
    "Holder",
    "Holders",
    "Host",
    "Indexes",
    "Limits",
    "Line",
    "Members",
    "Oplog",
    "Overdue",
    "Parameters",
    "Parked",
    "Plan",
    "Plans",
    "Rights",
    "Schedules",
    "Server",
    "Unread",
    "Waiting",
]
