"""What a page of tasks shows, as its URL says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from mongoq import ConfigurationError, TaskState

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
TEXTS: Final = ("queue", "name", "error", "prefix", "since", "until", "tag")


@dataclass(frozen=True, slots=True)
class View:
    """Which tasks are shown."""

    state: TaskState | None = None
    queue: str = ""
    name: str = ""
    error: str = ""
    prefix: str = ""
    since: str = ""
    """An instant, or how long ago: `1h`, `15m`."""
    until: str = ""
    tag: str = ""
    """Tags by equality, separated by spaces: `user=42 plan=gold`."""
    after: str = ""
    limit: int = 50

    @property
    def filters(self) -> dict[str, str]:
        """What it chooses by."""
        chosen = {field: getattr(self, field) for field in TEXTS if getattr(self, field)}
        return chosen if self.state is None else {"state": self.state.value, **chosen}

    @property
    def plain(self) -> bool:
        """Whether the verbs that act on many tasks know all that it chooses by."""
        return not (self.error or self.prefix or self.since or self.until)

    def url(self, **changes: Any) -> str:
        """The query of this view, or of one that differs."""
        other = replace(self, **{"after": "", **changes})
        values = {**other.filters, "after": other.after, "limit": "" if other.limit == 50 else str(other.limit)}
        return urlencode({name: value for name, value in values.items() if value})

    def request(self, now: datetime) -> dict[str, Any]:
        """The arguments of `queue.page`; ConfigurationError where something cannot be read."""
        chosen: dict[str, Any] = {field: getattr(self, field) for field in ("queue", "name", "error", "prefix")}
        chosen |= {"since": instant("since", self.since, now), "until": instant("until", self.until, now)}
        chosen |= {"state": self.state, "where": tags(self.tag), "after": self.after}
        return {name: value for name, value in chosen.items() if value} | {"limit": self.limit}


def view_from(values: Mapping[str, str]) -> View:
    """The view that a URL or a form asks for; ConfigurationError where something cannot be read."""
    state = values.get("state") or None
    known = [one.value for one in TaskState]
    if state is not None and state not in known:
        raise ConfigurationError(f"state: {state!r} is none of {', '.join(known)}")
    limit = values.get("limit") or "50"
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= 150:
        raise ConfigurationError(f"limit: {limit!r} is not a number from 1 to 150")
    texts = {field: values.get(field, "").strip() for field in TEXTS}
    return View(TaskState(state) if state else None, **texts, after=values.get("after", ""), limit=int(limit))


def instant(field: str, text: str, now: datetime) -> datetime | None:
    """An instant as it is typed: ISO 8601 in UTC, or how long ago; None where nothing is."""
    text = text.strip()
    if not text:
        return None
    if text[-1] in UNITS and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 10:
        return now - timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{field}: {text!r} is no time: 2026-08-01T12:30, or 15m, 1h, 2d ago") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def tags(text: str) -> dict[str, Any]:
    """Tags as they are typed: `user=42 plan=gold`; a value is JSON where it can be read so, else text."""
    found: dict[str, Any] = {}
    for pair in text.split():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"tag: {pair!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
