"""Of which tick of a schedule a task is."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["tick_of"]


def tick_of(key: str) -> tuple[str, datetime] | None:
    """The schedule and the instant of the tick that made a task, by its key `cron:<name>:<instant>`."""
    kind, _, rest = key.partition(":")
    name, _, at = rest.rpartition(":")
    if kind != "cron" or not name:
        return None
    try:
        return name, datetime.fromisoformat(at).astimezone(UTC)
    except ValueError:
        return None
